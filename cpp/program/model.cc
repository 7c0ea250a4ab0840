#include "program/model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/float_env.h"
#include "base/thread_pool.h"

namespace embedrt {
namespace {

// Tokens of a block. The values of a block should stay in the second-level cache, and enough rows should share each
// pass over the weights.
constexpr size_t kBlockTokens = 256;
constexpr size_t kLeastBlockTokens = 64;

// Rows that a text takes in a block: an empty one still takes a row of the values of kind segments.
size_t rows_of(std::span<const int64_t> offsets, size_t text) {
  return std::max<size_t>(1, static_cast<size_t>(offsets[text + 1] - offsets[text]));
}

// Cuts the texts, in order, into blocks of whole texts. A longer text is a block of its own.
std::vector<std::pair<size_t, size_t>> cut_blocks(std::span<const int64_t> offsets, unsigned threads) {
  const size_t texts = offsets.size() - 1;
  size_t total = 0;
  for (size_t text = 0; text < texts; ++text) total += rows_of(offsets, text);
  const size_t wanted = std::clamp(total / (size_t{4} * threads), kLeastBlockTokens, kBlockTokens);
  std::vector<std::pair<size_t, size_t>> blocks;
  for (size_t first = 0; first < texts;) {
    size_t last = first, rows = 0;
    while (last < texts && (last == first || rows + rows_of(offsets, last) <= wanted)) rows += rows_of(offsets, last++);
    blocks.emplace_back(first, last);
    first = last;
  }
  return blocks;
}

bool all_finite(const float* row, size_t columns) {
  // x − x is 0 for finite x and NaN for the others.
  float sum = 0.0f;
  for (size_t c = 0; c < columns; ++c) sum += row[c] - row[c];
  return sum == 0.0f;
}

std::string text_name(size_t text) {
  return "text " + std::to_string(text);
}

}  // namespace

// A frame for as long as one thread needs it.
class Model::Lease {
 public:
  explicit Lease(const Model& model) : model_(model) {
    const std::lock_guard lock(model.mutex_);
    if (model.frames_.empty()) {
      frame_ = std::make_unique<Frame>();
    } else {
      frame_ = std::move(model.frames_.back());
      model.frames_.pop_back();
    }
  }
  ~Lease() {
    const std::lock_guard lock(model_.mutex_);
    model_.frames_.push_back(std::move(frame_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Frame& operator*() const { return *frame_; }

 private:
  const Model& model_;
  std::unique_ptr<Frame> frame_;
};

Model::Model(std::shared_ptr<const MappedFile> source, unsigned threads, const Kernels& kernels)
    : file_(std::move(source)),
      program_(load_program(file_)),
      threads_(threads == 0 ? default_threads() : threads),
      kernels_(kernels) {
  plans_.reserve(program_.outputs.size());
  for (const Output& output : program_.outputs) plans_.push_back({output.name, Plan(program_, output.value)});
}

const Model::NamedPlan& Model::find(const std::string& name) const {
  for (const NamedPlan& plan : plans_)
    if (plan.name == name) return plan;
  std::string message = "the model has no output " + name + "; it has";
  for (const NamedPlan& plan : plans_) message += " " + plan.name;
  throw InputError(message);
}

ValueType Model::output_type(const std::string& name) const {
  return program_.type(find(name).plan.output());
}

void Model::check(std::span<const int32_t> ids, std::span<const int64_t> offsets) const {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != static_cast<int64_t>(ids.size()))
    throw InputError("offsets must begin with 0 and end with the number of ids, " + std::to_string(ids.size()));
  for (size_t text = 0; text + 1 < offsets.size(); ++text) {
    if (offsets[text + 1] < offsets[text]) throw InputError(text_name(text) + ": its offset is above the next one");
    if (offsets[text + 1] - offsets[text] > program_.limits.max_tokens)
      throw InputError(text_name(text) + ": " + std::to_string(offsets[text + 1] - offsets[text]) +
                       " tokens, the model takes at most " + std::to_string(program_.limits.max_tokens));
    if (offsets[text + 1] > offsets.back()) throw InputError(text_name(text) + ": its tokens end past the ids");
  }
  for (size_t text = 0; text + 1 < offsets.size(); ++text)
    for (int64_t i = offsets[text]; i < offsets[text + 1]; ++i)
      if (static_cast<uint32_t>(ids[static_cast<size_t>(i)]) >= program_.limits.vocabulary)
        throw InputError(text_name(text) + ": token id " + std::to_string(ids[static_cast<size_t>(i)]) +
                         " is outside the vocabulary of " + std::to_string(program_.limits.vocabulary));
}

bool Model::run(std::span<const int32_t> ids, std::span<const int64_t> offsets, const std::string& output, float* out,
                FunctionRef<bool()> stop) const {
  check(ids, offsets);
  const FloatEnv environment;
  const Plan& plan = find(output).plan;
  const ValueType type = program_.type(plan.output());
  const auto blocks = cut_blocks(offsets, threads_);
  const uint32_t* tokens = reinterpret_cast<const uint32_t*>(ids.data());  // checked to be non-negative

  const auto run_block = [&](size_t b, unsigned) {
    const auto [first, last] = blocks[b];
    std::vector<size_t> starts(last - first + 1);
    size_t longest = 1, rows = 0;
    for (size_t text = first; text < last; ++text) {
      starts[text - first] = static_cast<size_t>(offsets[text] - offsets[first]);
      longest = std::max(longest, rows_of(offsets, text));
      rows += rows_of(offsets, text);
    }
    const size_t begin = static_cast<size_t>(offsets[first]),
                 count = static_cast<size_t>(offsets[last] - offsets[first]);
    starts.back() = count;

    const Lease lease(*this);
    Frame& frame = *lease;
    // In steps, so that a frame soon has the size that it keeps, and one short text does not pay for a whole block.
    frame.prepare(plan, kernels_, round_up(rows, kLeastBlockTokens), round_up(longest, kLeastBlockTokens));
    frame.run({{tokens + begin, count}, starts});

    const View result = frame.result();
    const bool per_token = type.kind == ValueKind::rows;
    float* to = out + (per_token ? begin : first) * type.columns;
    const size_t result_rows = per_token ? count : last - first;
    for (size_t row = 0; row < result_rows; ++row) {
      const float* from = result.x + row * result.stride;
      if (!all_finite(from, type.columns)) {
        const size_t text =
            per_token ? static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), row) - starts.begin()) - 1
                      : row;
        throw Error(text_name(first + text) + ": the result is not finite");
      }
      std::memcpy(to + row * type.columns, from, type.columns * sizeof(float));
    }
  };
  return parallel_for(threads_, blocks.size(), run_block, stop);
}

}  // namespace embedrt
