// The memory in which one thread runs a program: one allocation, laid out for blocks of a given size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/run.h"
#include "program/plan.h"

namespace embedrt {

// Some texts of a call: all their tokens one after another.
struct Block {
  std::span<const uint32_t> ids;
  std::span<const size_t> starts;  // segments + 1 of them, from 0
};

class Frame {
 public:
  // Lays the frame out; allocates when it has to grow, and then frees what it had. Throws std::bad_alloc.
  void prepare(const Plan& plan, const Kernels& kernels, size_t rows, size_t longest);

  // Runs the plan on a block of at most the prepared size. The rows of the output are then at result().
  void run(const Block& block);
  View result() const { return views_[plan_->output()].floats; }

 private:
  struct Place {
    View floats;     // x and stride
    View quantized;  // q
    bool float_block = false, quantized_block = false;
  };
  struct Layout {
    std::vector<size_t> offsets;  // one for each buffer of the plan
    size_t scratch = 0;
    size_t total = 0;
  };
  struct Release {
    void operator()(std::byte* memory) const noexcept;
  };

  static Layout lay_out(const Plan& plan, const Kernels& kernels, size_t rows, size_t longest);
  void run_step(const Step& step, const Block& block, size_t first, size_t rows);
  View slice(uint16_t value, size_t first) const;

  const Plan* plan_ = nullptr;
  const Kernels* kernels_ = nullptr;
  size_t rows_ = 0, longest_ = 0;
  std::unique_ptr<std::byte, Release> memory_;
  size_t size_ = 0;
  std::byte* scratch_ = nullptr;
  std::vector<Place> views_;  // one for each value
  std::vector<uint32_t> positions_;
};

}  // namespace embedrt
