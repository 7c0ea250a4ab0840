// A model that runs: a verified file, a plan for each output, and the frames of the threads that run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
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

// Safe to use from several threads at once.
class Model {
 public:
  // `threads` 0: default_threads(). Throws FormatError for a bad file.
  Model(std::shared_ptr<const MappedFile> source, unsigned threads, const Kernels& kernels = embedrt::kernels());

  const ModelFile& file() const { return file_; }
  const Program& program() const { return program_; }
  unsigned threads() const { return threads_; }

  // The value that an output names. Throws InputError for a name that the model does not have.
  ValueType output_type(const std::string& name) const;

  // Runs the program on ragged texts: text i has the token ids[offsets[i]] … ids[offsets[i + 1] − 1]. Writes one row of
  // `columns` floats for each text, or for each token when the output is of kind rows. Returns false when `stop` said
  // so between two blocks. Throws InputError for ids, offsets or lengths that the program does not take, and Error for
  // a result that is not finite, naming the text.
  bool run(std::span<const int32_t> ids, std::span<const int64_t> offsets, const std::string& output, float* out,
           FunctionRef<bool()> stop) const;

  // Runs the program on `count` images of the program's size, [count, height, width, 3] bytes. Writes output_type's
  // rows of `columns` floats for each. Otherwise as run().
  bool run_images(const uint8_t* pixels, size_t count, const std::string& output, float* out,
                  FunctionRef<bool()> stop) const;

  // Multiply-adds that products of weights and attention need for an output of one text of that many tokens, or of
  // one image, comparisons of max_pool among them. Throws InputError as run() does.
  uint64_t work(uint32_t tokens, const std::string& output) const;

 private:
  struct NamedPlan {
    std::string name;
    Plan plan;
  };
  class Lease;

  const NamedPlan& find(const std::string& name) const;
  const Plan& plan_of(const std::string& output, bool image) const;
  void run_block(const Plan& plan, const Block& block, size_t first, unsigned threads, float* out) const;
  void check(std::span<const int32_t> ids, std::span<const int64_t> offsets) const;

  ModelFile file_;
  Program program_;
  unsigned threads_;
  const Kernels& kernels_;
  std::vector<NamedPlan> plans_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Frame>> frames_;  // those that nobody runs in
};

}  // namespace embedrt
