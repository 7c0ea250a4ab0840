// A model that runs: a verified file, a plan for each set of outputs, and the frames of the threads that run it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "isa/dispatch.h"
#include "program/frame.h"
#include "program/model_file.h"
#include "program/plan.h"
#include "program/program.h"

namespace embedrt {

// Ragged texts: text i has the token ids[offsets[i]] … ids[offsets[i + 1] − 1].
struct TextCall {
  std::span<const int32_t> ids;
  std::span<const int64_t> offsets;
  std::optional<std::span<const int32_t>> types = {};  // of the tokens; all 0 where there are none
  // How many tokens of each text, from its start, attention sees; all where there are none.
  std::optional<std::span<const int64_t>> attended = {};
  // Rows of ids, first … last − 1 of each. Values of kind segments then have a row for each of these, and not for each
  // text.
  std::optional<std::span<const std::array<int64_t, 2>>> spans = {};
  std::optional<PoolKind> pooling = {};  // goes before what the program's pools say

  // Rows of a value of texts.
  size_t rows(const ValueType& type) const {
    if (type.kind == ValueKind::rows) return ids.size();
    return spans ? spans->size() : offsets.empty() ? 0 : offsets.size() - 1;
  }
};

// An output, and where its rows go, `columns` floats each.
struct Target {
  std::string output;
  float* rows;
};

// Safe to use from several threads at once.
class Model {
 public:
  // `threads` 0: default_threads(). Throws FormatError for a bad file.
  Model(std::shared_ptr<const MappedFile> source, unsigned threads, const Kernels& kernels = embedrt::kernels());

  const ModelFile& file() const { return file_; }
  const Program& program() const { return program_; }
  unsigned threads() const { return threads_; }

  // The output of that name, and the value that it names. Throws InputError for a name that the model does not have.
  const Output& output(const std::string& name) const;
  ValueType output_type(const std::string& name) const;

  // Whether the rows of an output are of length one, because it is defined by `normalize`. Throws as output_type().
  bool unit_length(const std::string& name) const;

  // Runs the program on texts, once for all the targets, and writes call.rows() of each. Returns false when `stop` said
  // so between two blocks. Throws InputError for a call that the program does not take, and Error for a result that is
  // not finite, naming the text.
  bool run(const TextCall& call, const std::vector<Target>& targets, FunctionRef<bool()> stop) const;

  // Runs the program on `count` images of the program's size, [count, height, width, 3] bytes. Writes output_type's
  // rows of `columns` floats for each. Otherwise as run().
  bool run_images(const uint8_t* pixels, size_t count, const std::string& output, float* out,
                  FunctionRef<bool()> stop) const;

  // Multiply-adds that products of weights and attention need for an output of one text of that many tokens, or of
  // one image, comparisons of max_pool among them. Throws InputError as run() does.
  uint64_t work(uint32_t tokens, const std::string& name) const;

 private:
  class Lease;
  // An output and where the rows of a block go.
  struct BlockTarget {
    uint16_t value;
    float* rows;
  };

  std::vector<BlockTarget> find(const std::vector<Target>& targets, bool image) const;
  const Plan& plan_of(const std::vector<BlockTarget>& targets) const;
  void run_block(const Plan& plan, const Block& block, size_t first, unsigned threads,
                 const std::vector<BlockTarget>& targets) const;
  void check(const TextCall& call) const;

  ModelFile file_;
  Program program_;
  unsigned threads_;
  const Kernels& kernels_;
  mutable std::mutex plans_mutex_;
  mutable std::map<std::vector<uint16_t>, Plan> plans_;  // by their outputs' values, in order; a plan stays where it is
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Frame>> frames_;  // those that nobody runs in
};

}  // namespace embedrt
