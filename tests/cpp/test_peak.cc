// Ceilings are measured on every instruction set; how high they are is the machine's matter.
#include "base/error.h"
#include "check.h"
#include "program/peak.h"

namespace embedrt::test {

// Memory's takes hundreds of megabytes: once is enough.
TEST(peak_of_every_instruction_set) {
  for (const std::string& isa : available_isas())
    for (const std::string& name : peak_names())
      for (const unsigned threads : {1u, 2u}) {
        if (name == "read_memory" && (isa != available_isas().front() || threads == 2)) continue;
        const double peak = measure_peak(name, threads, 0.0, *kernels_of(isa));
        // Between a million and a quadrillion a second: emulated and sanitized, or the largest machine.
        check(peak > 1e6 && peak < 1e15, "not plausible", __FILE__, __LINE__,
              isa + ", " + name + ": " + std::to_string(peak));
      }
}

TEST(peak_names_are_checked) {
  CHECK_THROWS(InputError, "no ceiling is called int9; there are int8_dot", measure_peak("int9", 1, 0.0));
}

}  // namespace embedrt::test
