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

constexpr size_t kLeastBlockTokens = 64;

// What two threads take for a block of 64 to 512 tokens together, over half of what one takes: measured with
// all-MiniLM-L6-v2 on AMX.
constexpr double kSharingCost = 1.15;

// Rows that a text takes in a block: an empty one still takes a row of the values of kind segments.
size_t rows_of(std::span<const int64_t> offsets, size_t text) {
  return std::max<size_t>(1, static_cast<size_t>(offsets[text + 1] - offsets[text]));
}

// Texts first … last − 1 of a call.
struct Texts {
  size_t first, last;
  size_t rows, longest;  // as rows_of counts
};

// Cuts the texts, in order, into blocks of at most `tokens`. A longer text is a block of its own.
std::vector<Texts> cut_blocks(std::span<const int64_t> offsets, size_t tokens) {
  std::vector<Texts> blocks;
  for (size_t text = 0; text + 1 < offsets.size(); ++text) {
    const size_t rows = rows_of(offsets, text);
    if (blocks.empty() || blocks.back().rows + rows > tokens) blocks.push_back({text, text, 0, 0});
    Texts& block = blocks.back();
    block.last = text + 1;
    block.rows += rows;
    block.longest = std::max(block.longest, rows);
  }
  return blocks;
}

// Rows that the busiest of `threads` has, when each takes the next block as soon as it is free.
size_t most_rows(const std::vector<Texts>& blocks, unsigned threads) {
  std::vector<size_t> rows(threads, 0);
  for (const Texts& block : blocks) *std::ranges::min_element(rows) += block.rows;
  return *std::ranges::max_element(rows);
}

struct Cut {
  std::vector<Texts> blocks;
  bool shared;  // the threads run one block after the other together, and not each its own
};

// A block of its own is the best that a thread can have, as long as the threads end at about the same time.
Cut cut(std::span<const int64_t> offsets, unsigned threads, const Plan& plan) {
  size_t total = 0, longest = 0;
  for (size_t text = 0; text + 1 < offsets.size(); ++text) {
    total += rows_of(offsets, text);
    longest = std::max(longest, rows_of(offsets, text));
  }
  auto blocks = cut_blocks(offsets, std::clamp(total / (size_t{4} * threads), kLeastBlockTokens, plan.block_size()));
  const double even = static_cast<double>(total) / threads;
  if (static_cast<double>(most_rows(blocks, threads)) <= kSharingCost * even || !plan.worth_sharing(total, longest))
    return {std::move(blocks), false};
  return {cut_blocks(offsets, plan.block_size()), true};
}

// Images first … last − 1 of a call.
struct Images {
  size_t first, count;
};

// Blocks of `size` images at most, of about as many each.
std::vector<Images> cut_images(size_t count, size_t size) {
  const size_t blocks = (count + size - 1) / size;
  std::vector<Images> result;
  for (size_t b = 0; b < blocks; ++b)
    result.push_back({count * b / blocks, count * (b + 1) / blocks - count * b / blocks});
  return result;
}

bool all_finite(const float* row, size_t columns) {
  // x − x is 0 for finite x and NaN for the others.
  float sum = 0.0f;
  for (size_t c = 0; c < columns; ++c) sum += row[c] - row[c];
  return sum == 0.0f;
}

std::string item_name(const Plan& plan, size_t item) {
  return (plan.image() ? "image " : "text ") + std::to_string(item);
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

const Plan& Model::plan_of(const std::string& output, bool image) const {
  const Plan& plan = find(output).plan;
  if (plan.image() != image)
    throw InputError("the output " + output + " is of " + (image ? "texts, not of images" : "images, not of texts"));
  return plan;
}

uint64_t Model::work(uint32_t tokens, const std::string& output) const {
  const Plan& plan = find(output).plan;
  if (tokens > program_.limits.max_tokens)
    throw InputError(std::to_string(tokens) + " tokens, the model takes at most " +
                     std::to_string(program_.limits.max_tokens));
  ProgramLimits limits = program_.limits;
  limits.max_tokens = tokens;
  uint64_t sum = 0;  // below 2^36 for a token and 2^42 for an image: no overflow
  for (const Step& step : plan.steps()) {
    if (step.quantize) continue;
    for (const Instruction* instruction : {step.instruction, step.producer}) {
      if (!instruction) continue;
      const ValueType& type = instruction->type;
      const uint64_t rows = type.kind == ValueKind::segments ? 1 : type.rows(type.image ? 1 : tokens);
      sum += rows * instruction->op->work(*instruction, limits);
    }
  }
  return sum;
}

// Runs one block, whose items begin with `first` of the call, and writes its rows to `out`.
void Model::run_block(const Plan& plan, const Block& block, size_t first, unsigned threads, float* out) const {
  const Lease lease(*this);
  Frame& frame = *lease;
  // Tokens in steps, so that a frame soon has the size that it keeps, and one short text does not pay for a whole
  // block.
  const size_t step = plan.image() ? 1 : kLeastBlockTokens;
  frame.prepare(plan, kernels_, round_up(std::max(block.size(), block.items), step), round_up(block.longest, step),
                threads);
  frame.run(block, threads);

  const View result = frame.result();
  const ValueType type = program_.type(plan.output());
  const size_t rows = type.kind == ValueKind::segments ? block.items : type.rows(block.size());
  for (size_t row = 0; row < rows; ++row) {
    const float* from = result.x + row * result.stride;
    if (!all_finite(from, type.columns)) {
      const auto text = std::upper_bound(block.starts.begin(), block.starts.end(), row) - block.starts.begin() - 1;
      const size_t item = type.kind == ValueKind::rows ? static_cast<size_t>(text) : row / type.item_rows();
      throw Error(item_name(plan, first + item) + ": the result is not finite");
    }
    std::memcpy(out + row * type.columns, from, type.columns * sizeof(float));
  }
}

bool Model::run(std::span<const int32_t> ids, std::span<const int64_t> offsets, const std::string& output, float* out,
                FunctionRef<bool()> stop) const {
  const Plan& plan = plan_of(output, false);
  check(ids, offsets);
  const FloatEnv environment;
  const ValueType type = program_.type(plan.output());
  const Cut call = cut(offsets, threads_, plan);
  const uint32_t* tokens = reinterpret_cast<const uint32_t*>(ids.data());  // checked to be non-negative
  const unsigned block_threads = call.shared ? threads_ : 1;

  const auto run_texts = [&](size_t b, unsigned) {
    const auto [first, last, rows, longest] = call.blocks[b];
    std::vector<size_t> starts(last - first + 1);
    for (size_t text = first; text < last; ++text)
      starts[text - first] = static_cast<size_t>(offsets[text] - offsets[first]);
    const size_t begin = static_cast<size_t>(offsets[first]),
                 count = static_cast<size_t>(offsets[last] - offsets[first]);
    starts.back() = count;
    run_block(plan, {.items = last - first, .ids = {tokens + begin, count}, .starts = starts, .longest = longest},
              first, block_threads, out + (type.kind == ValueKind::rows ? begin : first) * type.columns);
  };
  return parallel_for(call.shared ? 1 : threads_, call.blocks.size(), run_texts, stop);
}

bool Model::run_images(const uint8_t* pixels, size_t count, const std::string& output, float* out,
                       FunctionRef<bool()> stop) const {
  const Plan& plan = plan_of(output, true);
  const FloatEnv environment;
  const ValueType type = program_.type(plan.output());
  const size_t image = size_t{program_.limits.image_height} * program_.limits.image_width * 3;
  // Each thread takes images of its own, and the threads share those that are left over.
  const size_t whole = count / threads_ * threads_;
  const auto run_blocks = [&](size_t begin, size_t end, size_t size, unsigned threads) {
    const auto blocks = cut_images(end - begin, size);
    return parallel_for(
        threads == 1 ? threads_ : 1, blocks.size(),
        [&](size_t b, unsigned) {
          const size_t first = begin + blocks[b].first;
          run_block(plan, {.items = blocks[b].count, .pixels = pixels + first * image}, first, threads,
                    out + first * type.item_rows() * type.columns);
        },
        stop);
  };
  const size_t size = std::min(plan.block_size(), std::max<size_t>(whole / threads_, 1));
  return run_blocks(0, whole, size, 1) && (whole == count || run_blocks(whole, count, plan.block_size(), threads_));
}

}  // namespace embedrt
