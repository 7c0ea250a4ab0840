// What this process may use of the machine: its processors and their instructions.
#pragma once

#include <cstddef>
#include <string>

namespace embedrt {

// Processors that the scheduler may run this process on, at least 1.
unsigned affinity_cpus();

// The CPU quota of this process's control groups (v2 and v1), in whole processors, rounded up: the smallest along the
// path from its group to the root. 0 when there is none. `root` stands before /proc and /sys, for tests.
unsigned cgroup_cpus(const std::string& root = "");

// min(affinity, quota): more threads than this only wait for each other.
unsigned default_threads();

// Bytes of a core's second-level cache; one megabyte where the system does not say.
size_t second_level_cache();

// Instructions that both the CPU has and the operating system has enabled (the registers are saved on a context
// switch).
struct CpuFeatures {
  bool avx2 = false;      // with FMA and F16C: Haswell
  bool avx_vnni = false;  // the VEX encoding, of 256 bits
  bool avx512 = false;    // F, BW, DQ and VL: Skylake-SP
  bool avx512_vnni = false;
  bool amx_int8 = false;     // TILE and INT8; the system also wants request_amx() once before the first use
  bool dot_product = false;  // aarch64 sdot, udot
  bool int8_matmul = false;  // aarch64 smmla, usmmla
};

// Detected once. Has no side effects.
const CpuFeatures& cpu_features();

// Asks the system to let this process use AMX tiles. False when it refuses, cannot be asked, or the CPU has none.
bool request_amx();

}  // namespace embedrt
