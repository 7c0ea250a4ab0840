// The float environment that docs/numerics.md asks for: rounding to nearest even, subnormals kept, nothing traps.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <stdint.h>
#else
#include <cfenv>
#endif

namespace embedrt {

// Sets it on this thread while the object lives. The caller's control word and its sticky exception flags come back as
// they were: other code of the process neither disturbs the arithmetic here nor notices it.
class FloatEnv {
 public:
#if defined(__SSE__)
  FloatEnv() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }  // every exception masked, all other bits zero
  ~FloatEnv() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  FloatEnv() noexcept {
    asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(saved_), "=r"(saved_status_));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}) : "memory");
  }
  ~FloatEnv() { asm volatile("msr fpcr, %0\n\tmsr fpsr, %1" ::"r"(saved_), "r"(saved_status_) : "memory"); }
#else
  FloatEnv() noexcept {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnv() { std::fesetenv(&saved_); }
#endif

  FloatEnv(const FloatEnv&) = delete;
  FloatEnv& operator=(const FloatEnv&) = delete;

 private:
#if defined(__SSE__)
  unsigned saved_;
#elif defined(__aarch64__)
  uint64_t saved_;
  uint64_t saved_status_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace embedrt
