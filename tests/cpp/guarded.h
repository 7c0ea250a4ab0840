// Memory for kernels to run in: aligned, with guards around it, and numbers that are the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace embedrt::test {

// Knuth's MMIX generator. Floats are made of whole numbers and powers of two alone: exact everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) { next(); }

  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }
  uint32_t below(uint32_t n) { return next() % n; }
  // Uniform in [-1, 1).
  float unit() { return static_cast<float>(static_cast<int32_t>(next()) >> 8) * 0x1p-23f; }
  // Many small numbers and some large ones, as activations are.
  float spread() { return unit() * static_cast<float>(1u << below(4)); }

 private:
  uint64_t state_;
};

// `count` elements at an address that is a multiple of 64, between two guards of 1 KiB.
template <class T>
class Guarded {
 public:
  explicit Guarded(size_t count) : count_(count), bytes_(2 * kGuard + 64 + count * sizeof(T), kSentinel) {
    const size_t misaligned = (reinterpret_cast<uintptr_t>(bytes_.data()) + kGuard) % 64;
    from_ = kGuard + (64 - misaligned) % 64;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return reinterpret_cast<T*>(bytes_.data() + from_); }
  T& operator[](size_t i) { return data()[i]; }
  size_t size() const { return count_; }

  // Still as it was made. `what` names the buffer in the message.
  void expect_untouched(size_t first, size_t count, const char* what) {
    expect_sentinels(from_ + first * sizeof(T), count * sizeof(T), what);
  }
  void expect_guards(const char* what) {
    expect_sentinels(0, from_, what);
    const size_t end = from_ + count_ * sizeof(T);
    expect_sentinels(end, bytes_.size() - end, what);
  }

 private:
  static constexpr size_t kGuard = 1024;
  static constexpr uint8_t kSentinel = 0xA5;

  void expect_sentinels(size_t first, size_t count, const char* what) {
    for (size_t i = first; i < first + count; ++i) {
      if (bytes_[i] == kSentinel) continue;
      const auto at = static_cast<long long>(i) - static_cast<long long>(from_);
      throw std::runtime_error(std::string(what) + ": written outside, at byte " + std::to_string(at));
    }
  }

  size_t count_;
  std::vector<uint8_t> bytes_;
  size_t from_;
};

}  // namespace embedrt::test
