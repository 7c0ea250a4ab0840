#include "base/cpu.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <string_view>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include "base/windows_api.h"
#endif
#if defined(__x86_64__)
#include <cpuid.h>  // after Windows' headers, which declare a function by the name of one of its macros
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace embedrt {
namespace {

// quota / period in whole processors, rounded up; 0 for no limit and for what makes no sense.
unsigned whole_cpus(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<unsigned>(std::min<long long>(quota / period + (quota % period != 0), 1 << 20));
}

// cpu.max of version 2: "max 100000" or "150000 100000".
unsigned quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  long long quota = 0, period = 0;
  return file >> quota >> period ? whole_cpus(quota, period) : 0;
}

// Version 1 has a file for each number; a quota of -1 is none.
unsigned quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"), period_file(folder + "/cpu.cfs_period_us");
  long long quota = 0, period = 0;
  return quota_file >> quota && period_file >> period ? whole_cpus(quota, period) : 0;
}

bool lists(std::string_view names, std::string_view name) {
  for (;;) {
    const size_t comma = names.find(',');
    if (names.substr(0, comma) == name) return true;
    if (comma == std::string_view::npos) return false;
    names.remove_prefix(comma + 1);
  }
}

// The smallest quota from `path` up to the root of the hierarchy at `mount`. A container often sees the path of its
// host, and its own group as the root: levels that do not exist here are passed over.
template <class Quota>
unsigned smallest_quota(const std::string& mount, std::string path, Quota quota) {
  if (!path.starts_with('/') || path.find("/..") != std::string::npos) path.clear();  // outside of the namespace
  unsigned smallest = 0;
  for (;;) {
    while (path.ends_with('/')) path.pop_back();
    const unsigned here = quota(mount + path);
    if (here > 0) smallest = smallest == 0 ? here : std::min(smallest, here);
    if (path.empty()) return smallest;
    path.erase(path.rfind('/'));
  }
}

#if defined(__x86_64__)

struct Cpuid {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Cpuid cpuid(uint32_t leaf, uint32_t subleaf) {
  Cpuid r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // leaves zeros when the leaf is unknown
  return r;
}

// Which registers the operating system saves. Written in assembly, since the intrinsic wants a compiler flag.
uint64_t xcr0() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

constexpr bool bit(uint32_t word, unsigned index) {
  return (word >> index & 1) != 0;
}

CpuFeatures detect() {
  CpuFeatures f;
  const Cpuid one = cpuid(1, 0);
  if (!bit(one.ecx, 27)) return f;  // OSXSAVE: without it xgetbv does not exist
  const uint64_t saved = xcr0();
  const bool ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xE6) == 0xE6, tiles = (saved & 0x60000) == 0x60000;
  const Cpuid seven = cpuid(7, 0), seven_one = seven.eax >= 1 ? cpuid(7, 1) : Cpuid{};
  const bool avx = bit(one.ecx, 28), fma = bit(one.ecx, 12), f16c = bit(one.ecx, 29);
  f.avx2 = ymm && avx && fma && f16c && bit(seven.ebx, 5);
  f.avx_vnni = f.avx2 && bit(seven_one.eax, 4);
  f.avx512 = f.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);
  f.avx512_vnni = f.avx512 && bit(seven.ecx, 11);
  f.amx_int8 = f.avx512 && tiles && bit(seven.edx, 24) && bit(seven.edx, 25);
  return f;
}

#elif defined(__aarch64__) && defined(__linux__)

CpuFeatures detect() {
  CpuFeatures f;
  f.dot_product = (getauxval(AT_HWCAP) >> 20 & 1) != 0;   // HWCAP_ASIMDDP
  f.int8_matmul = (getauxval(AT_HWCAP2) >> 13 & 1) != 0;  // HWCAP2_I8MM
  return f;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool has(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

CpuFeatures detect() {
  CpuFeatures f;
  f.dot_product = has("hw.optional.arm.FEAT_DotProd");
  f.int8_matmul = has("hw.optional.arm.FEAT_I8MM");
  return f;
}

#elif defined(__aarch64__) && defined(_WIN32)

// By their numbers: older SDKs lack the names. A Windows that does not know a number says no.
CpuFeatures detect() {
  CpuFeatures f;
  f.dot_product = IsProcessorFeaturePresent(43) != 0;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
  f.int8_matmul = IsProcessorFeaturePresent(66) != 0;  // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
  return f;
}

#else

CpuFeatures detect() {
  return {};
}

#endif

#if defined(_WIN32)

// Groups have up to 64 processors each. A process begins in one of them, where it has a mask, or from Windows 11 on in
// all; one that is in several may use all of their processors.
unsigned processors_of_groups() {
  std::array<USHORT, 64> groups;
  USHORT count = groups.size();
  if (GetProcessGroupAffinity(GetCurrentProcess(), &count, groups.data()) != 0 && count > 1) {
    DWORD processors = 0;
    for (USHORT i = 0; i < count; ++i) processors += GetActiveProcessorCount(groups[i]);
    return processors;
  }
  DWORD_PTR mask = 0, system_mask = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &mask, &system_mask) == 0) return 0;
  return static_cast<unsigned>(std::popcount(mask));
}

// Windows saves tiles for processes that have asked it to; versions without the function do not know them.
bool enable_tile_data() {
  constexpr DWORD64 kTileData = DWORD64{1} << 18;
  const FARPROC found = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "EnableProcessOptionalXStateFeatures");
  const auto enable = reinterpret_cast<BOOL(WINAPI*)(DWORD64)>(reinterpret_cast<void*>(found));
  return enable != nullptr && enable(kTileData) != 0;
}

// Of the first cache of that level; 0 when the system does not say.
DWORD second_level_of_windows() {
  DWORD bytes = 0;
  GetLogicalProcessorInformation(nullptr, &bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> parts(bytes / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (GetLogicalProcessorInformation(parts.data(), &bytes) == 0) return 0;
  for (const auto& part : parts)
    if (part.Relationship == RelationCache && part.Cache.Level == 2) return part.Cache.Size;
  return 0;
}

#endif

}  // namespace

unsigned affinity_cpus() {
#if defined(_WIN32)
  if (const unsigned processors = processors_of_groups()) return processors;
#elif defined(__linux__)
  // The kernel's mask may be wider than cpu_set_t: EINVAL asks for more.
  for (size_t count = CPU_SETSIZE; count <= size_t{1} << 20; count *= 2) {
    std::vector<cpu_set_t> set(count / CPU_SETSIZE);
    const size_t bytes = set.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, set.data()) == 0) {
      return static_cast<unsigned>(std::max(1, CPU_COUNT_S(bytes, set.data())));
    }
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

unsigned cgroup_cpus(const std::string& root) {
  unsigned smallest = 0;
  const auto limit = [&](unsigned cpus) {
    if (cpus > 0) smallest = smallest == 0 ? cpus : std::min(smallest, cpus);
  };
  // One line for each hierarchy, "id:controllers:path"; version 2 has id 0 and names no controllers.
  std::ifstream groups(root + "/proc/self/cgroup");
  const std::string mounts = root + "/sys/fs/cgroup";
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (line.starts_with("0::")) {
      limit(smallest_quota(mounts, path, quota_v2));
      limit(smallest_quota(mounts + "/unified", path, quota_v2));
    } else if (lists(controllers, "cpu")) {
      limit(smallest_quota(mounts + "/cpu", path, quota_v1));
      limit(smallest_quota(mounts + "/" + controllers, path, quota_v1));
    }
  }
  return smallest;
}

unsigned default_threads() {
  const unsigned affinity = affinity_cpus(), quota = cgroup_cpus();
  return quota == 0 ? affinity : std::min(affinity, quota);
}

size_t second_level_cache() {
  static const size_t bytes = [] {
    long long found = 0;
#if defined(_WIN32)
    found = second_level_of_windows();
#elif defined(__APPLE__)
    size_t size = sizeof found;
    if (sysctlbyname("hw.l2cachesize", &found, &size, nullptr, 0) != 0) found = 0;
#elif defined(_SC_LEVEL2_CACHE_SIZE)
    found = sysconf(_SC_LEVEL2_CACHE_SIZE);
    // The C library of aarch64 knows no caches; the kernel may.
    long long kilobytes = 0;
    if (found <= 0 && std::ifstream("/sys/devices/system/cpu/cpu0/cache/index2/size") >> kilobytes)
      found = kilobytes * 1024;
#endif
    return found > 0 ? static_cast<size_t>(found) : size_t{1} << 20;
  }();
  return bytes;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

bool request_amx() {
  if (!cpu_features().amx_int8) return false;
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#elif defined(_WIN32)
  return enable_tile_data();
#else
  return false;
#endif
}

}  // namespace embedrt
