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

// Rows of the values of kind segments, in a frame, are a multiple of this.
constexpr size_t kSegmentStep = 16;

// What two threads take for a block of 64 to 512 tokens together, over half of what one takes: measured with
// all-MiniLM-L6-v2 on AMX.
constexpr double kSharingCost = 1.15;

// The texts of a call whose offsets and spans have been checked.
class Texts {
 public:
  explicit Texts(const TextCall& call) : call_(call) {
    if (!call.spans) return;
    first_span_.reserve(call.offsets.size());
    size_t span = 0;
    for (const int64_t offset : call.offsets) {
      while (span < call.spans->size() && (*call.spans)[span][0] < offset) ++span;
      first_span_.push_back(span);
    }
  }

  size_t count() const { return call_.offsets.size() - 1; }
  size_t tokens(size_t text) const { return static_cast<size_t>(call_.offsets[text + 1] - call_.offsets[text]); }

  // The first row of the values of kind segments that is of this text or a later one.
  size_t first_segment(size_t text) const { return call_.spans ? first_span_[text] : text; }

  // Rows that a text takes in a block: an empty one still takes a row of the values of kind segments.
  size_t rows(size_t text) const {
    return std::max({tokens(text), first_segment(text + 1) - first_segment(text), size_t{1}});
  }

  // What a row of the values of kind segments is made of, in rows of ids.
  RowRange pooled(size_t segment) const {
    const auto& [first, last] =
        call_.spans ? (*call_.spans)[segment] : std::array{call_.offsets[segment], call_.offsets[segment + 1]};
    return {static_cast<size_t>(first), static_cast<size_t>(last)};
  }

 private:
  const TextCall& call_;
  std::vector<size_t> first_span_;
};

// Texts first … last − 1 of a call.
struct TextBlock {
  size_t first, last;
  size_t rows;  // as Texts::rows counts
};

// Cuts the texts, in order, into blocks of at most `most` rows. A longer text is a block of its own.
std::vector<TextBlock> cut_blocks(const Texts& texts, size_t most) {
  std::vector<TextBlock> blocks;
  for (size_t text = 0; text < texts.count(); ++text) {
    const size_t rows = texts.rows(text);
    if (blocks.empty() || blocks.back().rows + rows > most) blocks.push_back({text, text, 0});
    blocks.back().last = text + 1;
    blocks.back().rows += rows;
  }
  return blocks;
}

// Rows that the busiest of `threads` has, when each takes the next block as soon as it is free.
size_t most_rows(const std::vector<TextBlock>& blocks, unsigned threads) {
  std::vector<size_t> rows(threads, 0);
  for (const TextBlock& block : blocks) *std::ranges::min_element(rows) += block.rows;
  return *std::ranges::max_element(rows);
}

struct Cut {
  std::vector<TextBlock> blocks;
  bool shared;  // the threads run one block after the other together, and not each its own
};

// A block of its own is the best that a thread can have, as long as the threads end at about the same time.
Cut cut(const Texts& texts, unsigned threads, const Plan& plan) {
  size_t total = 0, longest = 0;
  for (size_t text = 0; text < texts.count(); ++text) {
    total += texts.rows(text);
    longest = std::max(longest, texts.rows(text));
  }
  auto blocks = cut_blocks(texts, std::clamp(total / (size_t{4} * threads), kLeastBlockTokens, plan.block_size()));
  const double even = static_cast<double>(total) / threads;
  if (static_cast<double>(most_rows(blocks, threads)) <= kSharingCost * even || !plan.worth_sharing(total, longest))
    return {std::move(blocks), false};
  return {cut_blocks(texts, plan.block_size()), true};
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

// The item of a block that a row of a value is of.
size_t item_of(const Block& block, const ValueType& type, size_t row) {
  if (type.image) return row / type.item_rows();
  if (type.kind == ValueKind::segments && block.pooled[row].first == block.pooled[row].last) return row;  // no spans
  const size_t at = type.kind == ValueKind::segments ? block.pooled[row].first : row;
  return static_cast<size_t>(std::ranges::upper_bound(block.starts, at) - block.starts.begin()) - 1;
}

// Each span is inside one text, and no text comes after a later one.
void check_spans(std::span<const std::array<int64_t, 2>> spans, std::span<const int64_t> offsets) {
  size_t text = 0;
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto& [first, last] = spans[i];
    const std::string name =
        "span " + std::to_string(i) + " [" + std::to_string(first) + ", " + std::to_string(last) + ")";
    if (first < 0 || last > offsets.back()) throw InputError(name + " is outside the rows of the ids");
    if (first >= last) throw InputError(name + " is empty");
    while (first >= offsets[text + 1]) ++text;
    if (first < offsets[text]) throw InputError(name + " is of a text before that of the span before it");
    if (last > offsets[text + 1]) throw InputError(name + " runs past the end of " + text_name(text));
  }
}

// Each text has tokens that its rows see, none out of the `window` of all of them; 0: there is none.
void check_attended(std::span<const int64_t> attended, std::span<const int64_t> offsets, uint32_t window) {
  if (attended.size() + 1 != offsets.size())
    throw InputError(std::to_string(attended.size()) + " numbers of attended tokens for " +
                     std::to_string(offsets.size() - 1) + " texts");
  for (size_t text = 0; text < attended.size(); ++text) {
    const int64_t tokens = offsets[text + 1] - offsets[text], seen = attended[text];
    if (seen < std::min<int64_t>(1, tokens) || seen > tokens)
      throw InputError(text_name(text) + ": " + std::to_string(seen) + " attended tokens of " + std::to_string(tokens));
    if (window > 0 && tokens - seen > window)
      throw InputError(text_name(text) + ": its last token sees none of the " + std::to_string(seen) +
                       " attended tokens: the model's attention sees " + std::to_string(window) + " on each side");
  }
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
  for (const Output& output : program_.outputs) plan_of({{output.value, nullptr}});
}

const Output& Model::output(const std::string& name) const {
  for (const Output& output : program_.outputs)
    if (output.name == name) return output;
  std::string message = "the model has no output " + name + "; it has";
  for (const Output& output : program_.outputs) message += " " + output.name;
  throw InputError(message);
}

std::vector<Model::BlockTarget> Model::find(const std::vector<Target>& targets, bool image) const {
  if (targets.empty()) throw InputError("there is no output to run for: give one or several");
  std::vector<BlockTarget> found;
  for (const auto& [name, rows] : targets) {
    found.push_back({output(name).value, rows});
    if (program_.type(found.back().value).image != image)
      throw InputError("the output " + name + " is of " + (image ? "texts, not of images" : "images, not of texts"));
  }
  return found;
}

ValueType Model::output_type(const std::string& name) const {
  return program_.type(output(name).value);
}

bool Model::unit_length(const std::string& name) const {
  return program_.instructions[output(name).value - 1].op->name == "normalize";
}

void Model::check(const TextCall& call) const {
  const std::span<const int32_t> ids = call.ids;
  const std::span<const int64_t> offsets = call.offsets;
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != static_cast<int64_t>(ids.size()))
    throw InputError("offsets must begin with 0 and end with the number of ids, " + std::to_string(ids.size()));
  for (size_t text = 0; text + 1 < offsets.size(); ++text) {
    if (offsets[text + 1] < offsets[text]) throw InputError(text_name(text) + ": its offset is above the next one");
    if (offsets[text + 1] - offsets[text] > program_.limits.max_tokens)
      throw InputError(text_name(text) + ": " + std::to_string(offsets[text + 1] - offsets[text]) +
                       " tokens, the model takes at most " + std::to_string(program_.limits.max_tokens));
    if (offsets[text + 1] > offsets.back()) throw InputError(text_name(text) + ": its tokens end past the ids");
  }
  const auto check_below = [&](std::span<const int32_t> values, uint32_t bound, const char* what, const char* whole) {
    for (size_t text = 0; text + 1 < offsets.size(); ++text)
      for (int64_t i = offsets[text]; i < offsets[text + 1]; ++i)
        if (static_cast<uint32_t>(values[static_cast<size_t>(i)]) >= bound)
          throw InputError(text_name(text) + ": " + what + " " + std::to_string(values[static_cast<size_t>(i)]) +
                           " is outside the " + whole + " of " + std::to_string(bound));
  };
  check_below(ids, program_.limits.vocabulary, "token id", "vocabulary");
  if (call.types) {
    if (program_.limits.types == 0) throw InputError("the model has no token types: give none");
    if (call.types->size() != ids.size())
      throw InputError(std::to_string(call.types->size()) + " token types for " + std::to_string(ids.size()) + " ids");
    check_below(*call.types, program_.limits.types, "token type", "table");
  }
  if (call.spans) check_spans(*call.spans, offsets);
  if (call.attended) check_attended(*call.attended, offsets, program_.limits.window);
}

const Plan& Model::plan_of(const std::vector<BlockTarget>& targets) const {
  std::vector<uint16_t> values;
  for (const BlockTarget& target : targets) values.push_back(target.value);
  std::ranges::sort(values);
  values.erase(std::ranges::unique(values).begin(), values.end());
  const std::lock_guard lock(plans_mutex_);
  return plans_.try_emplace(values, program_, values).first->second;
}

uint64_t Model::work(uint32_t tokens, const std::string& name) const {
  const Plan& plan = plan_of({{output(name).value, nullptr}});
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

// Runs one block, whose items begin with `first` of the call, and writes its rows to the targets.
void Model::run_block(const Plan& plan, const Block& block, size_t first, unsigned threads,
                      const std::vector<BlockTarget>& targets) const {
  const Lease lease(*this);
  Frame& frame = *lease;
  // Tokens in steps, so that a frame soon has the size that it keeps, and one short text does not pay for a whole
  // block.
  const size_t step = plan.image() ? 1 : kLeastBlockTokens, segments = plan.image() ? block.items : block.pooled.size();
  frame.prepare(plan, kernels_,
                {round_up(std::max(block.size(), size_t{1}), step), round_up(segments, plan.image() ? 1 : kSegmentStep),
                 round_up(block.longest, step)},
                threads);
  frame.run(block, threads);

  for (const auto& [value, out] : targets) {
    const View result = frame.result(value);
    const ValueType type = program_.type(value);
    const size_t rows = block.rows(type);
    for (size_t row = 0; row < rows; ++row) {
      const float* from = result.x + row * result.stride;
      if (!all_finite(from, type.columns))
        throw Error(item_name(plan, first + item_of(block, type, row)) + ": the result is not finite");
      std::memcpy(out + row * type.columns, from, type.columns * sizeof(float));
    }
  }
}

bool Model::run(const TextCall& call, const std::vector<Target>& targets, FunctionRef<bool()> stop) const {
  const std::vector<BlockTarget> all = find(targets, false);
  check(call);
  const Plan& plan = plan_of(all);
  const FloatEnv environment;
  const Texts texts(call);
  const Cut blocks = cut(texts, threads_, plan);
  const auto words = [](std::span<const int32_t> from, size_t at) {
    return reinterpret_cast<const uint32_t*>(from.data()) + at;  // checked to be non-negative
  };
  const auto run_texts = [&](size_t b, unsigned) {
    const auto [first, last, rows] = blocks.blocks[b];
    const size_t begin = static_cast<size_t>(call.offsets[first]), end = static_cast<size_t>(call.offsets[last]);
    const size_t first_segment = texts.first_segment(first), segments = texts.first_segment(last) - first_segment;
    std::vector<size_t> starts(last - first + 1);
    std::vector<RowRange> pooled(segments);
    size_t longest = 1;
    for (size_t text = first; text < last; ++text) {
      starts[text - first] = static_cast<size_t>(call.offsets[text]) - begin;
      longest = std::max(longest, texts.tokens(text));
    }
    starts.back() = end - begin;
    for (size_t segment = 0; segment < segments; ++segment) {
      const auto [from, to] = texts.pooled(first_segment + segment);
      pooled[segment] = {from - begin, to - begin};
    }
    std::vector<BlockTarget> here = all;
    for (BlockTarget& target : here) {
      const ValueType type = program_.type(target.value);
      target.rows += (type.kind == ValueKind::rows ? begin : first_segment) * type.columns;
    }
    run_block(plan,
              {.items = last - first,
               .ids = {words(call.ids, begin), end - begin},
               .starts = starts,
               .longest = longest,
               .types = call.types ? words(*call.types, begin) : nullptr,
               .attended = call.attended ? call.attended->data() + first : nullptr,
               .pooled = pooled,
               .pooling = call.pooling},
              first, blocks.shared ? threads_ : 1, here);
  };
  return parallel_for(blocks.shared ? 1 : threads_, blocks.blocks.size(), run_texts, stop);
}

bool Model::run_images(const uint8_t* pixels, size_t count, const std::string& output, float* out,
                       FunctionRef<bool()> stop) const {
  const std::vector<BlockTarget> target = find({{output, out}}, true);
  const Plan& plan = plan_of(target);
  const uint16_t value = target.front().value;
  const FloatEnv environment;
  const ValueType type = program_.type(value);
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
                    {{value, out + first * type.item_rows() * type.columns}});
        },
        stop);
  };
  const size_t size = std::min(plan.block_size(), std::max<size_t>(whole / threads_, 1));
  return run_blocks(0, whole, size, 1) && (whole == count || run_blocks(whole, count, plan.block_size(), threads_));
}

}  // namespace embedrt
