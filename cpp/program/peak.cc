#include "program/peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "base/cpu.h"
#include "base/error.h"
#include "base/float_env.h"
#include "base/thread_pool.h"

namespace embedrt {
namespace {

constexpr size_t kMemoryBytes = size_t{256} << 20, kLeastMemoryBytes = size_t{16} << 20;
// Long beside the waking of a thread, short enough that some rounds are not interrupted.
constexpr double kRoundSeconds = 0.01;

// More than a first-level cache has, less than a second-level one.
constexpr size_t kCacheBytes = size_t{192} << 10;
// The product: a slice of rows, columns that every kernel's tiles divide, and the weights still in that cache.
constexpr size_t kRows = 96, kPanels = 12, kDepth = 384, kPanelStride = 16 * kDepth;
static_assert(kRows * kDepth + kPanels * kPanelStride + 1024 <= kCacheBytes);
constexpr size_t kResultBytes = kRows * kPanels * 16 * sizeof(int32_t);
static_assert(kResultBytes >= kProbeResultBytes);

struct Ceiling {
  const char* name;
  std::optional<Probe> probe;  // none: the product
  bool memory;
};
constexpr Ceiling kCeilings[] = {
    {"int8_dot", Probe::int8_dot, false}, {"int8_gemm", std::nullopt, false}, {"fp32_fma", Probe::fp32_fma, false},
    {"read_cache", Probe::read, false},   {"read_memory", Probe::read, true},
};

const Ceiling& find(const std::string& name) {
  for (const Ceiling& ceiling : kCeilings)
    if (name == ceiling.name) return ceiling;
  std::string message = "no ceiling is called " + name + "; there are";
  for (const Ceiling& ceiling : kCeilings) message += std::string(" ") + ceiling.name;
  throw InputError(message);
}

struct alignas(64) Line {
  std::array<uint32_t, 16> words;
};

// Floats from 0.5 to 1 whose bits vary.
std::vector<Line> operands(size_t count) {
  std::vector<Line> lines(count);
  uint32_t random = 1;
  for (Line& line : lines)
    for (uint32_t& word : line.words) {
      random = random * 1664525 + 1013904223;
      word = 0x3f000000 | random >> 9;
    }
  return lines;
}

uint64_t multiply(const Kernels& kernels, const ProbeArgs& args) {
  const auto* a = static_cast<const uint8_t*>(args.data);
  const auto* w = static_cast<const int8_t*>(args.data) + kRows * kDepth;
  for (uint64_t pass = 0; pass < args.passes; ++pass)
    kernels.dot(a, kDepth, kRows, w, kPanelStride, kDepth, kPanels, static_cast<int32_t*>(args.result), kPanels * 16);
  return args.passes * kRows * kPanels * 16 * kDepth;
}

double seconds_of(FunctionRef<void()> work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

std::vector<std::string> peak_names() {
  std::vector<std::string> names;
  for (const Ceiling& ceiling : kCeilings) names.emplace_back(ceiling.name);
  return names;
}

double measure_peak(const std::string& name, unsigned threads, double seconds, const Kernels& kernels) {
  const Ceiling& ceiling = find(name);
  if (threads == 0) threads = default_threads();
  const size_t wanted = ceiling.memory ? std::max(kMemoryBytes / threads, kLeastMemoryBytes) : kCacheBytes;
  const size_t lines = wanted / sizeof(Line), result_lines = kResultBytes / sizeof(Line);
  // A share for each task: threads that read the same would find in a shared cache what another has just read.
  const std::vector<Line> data = operands(lines * threads);
  std::vector<Line> results(result_lines * threads);
  const auto run = [&](size_t task, uint64_t passes) {
    const ProbeArgs args = {.probe = ceiling.probe.value_or(Probe::int8_dot),
                            .passes = passes,
                            .data = data.data() + task * lines,
                            .bytes = lines * sizeof(Line),
                            .result = results.data() + task * result_lines};
    const uint64_t done = ceiling.probe ? kernels.probe(args) : 0;
    return done > 0 ? done : multiply(kernels, args);
  };

  const FloatEnv environment;
  uint64_t passes = 1;
  while (seconds_of([&] { run(0, passes); }) < kRoundSeconds) passes *= 2;
  double best = 0.0;
  std::vector<uint64_t> done(threads);
  const auto start = std::chrono::steady_clock::now();
  do {
    // All that was done over all the time it took: threads that the pool does not have lower the figure.
    const double taken = seconds_of(
        [&] { parallel_for(threads, threads, [&](size_t task, unsigned) { done[task] = run(task, passes); }); });
    uint64_t sum = 0;
    for (const uint64_t each : done) sum += each;
    best = std::max(best, static_cast<double>(sum) / taken);
  } while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds);
  return best;
}

}  // namespace embedrt
