#include "isa/dispatch.h"

#include <cstdlib>

#include "base/cpu.h"
#include "base/error.h"
#include "isa/tables.h"

namespace embedrt {
namespace {

struct Target {
  const Kernels* kernels;
  bool (*runs)(const CpuFeatures& cpu);
};

constexpr Target kTargets[] = {
#define EMBEDRT_TARGET(name, when) \
  {&name##_kernels, []([[maybe_unused]] const CpuFeatures& cpu) -> bool { return when; }},
#include "isa/targets.inc"
#undef EMBEDRT_TARGET
};

const Kernels& choose() {
  const char* forced = std::getenv("EMBEDRT_ISA");
  if (forced != nullptr && *forced != '\0') {
    if (const Kernels* found = kernels_of(forced)) return *found;
    std::string message = "EMBEDRT_ISA=" + std::string(forced) + " cannot run here; this CPU has";
    for (const std::string& name : available_isas()) message += " " + name;
    throw InputError(message);
  }
  return *kernels_of(available_isas().front());
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Target& target : kTargets)
    if (target.runs(cpu_features())) names.emplace_back(target.kernels->name);
  return names;
}

const Kernels* kernels_of(std::string_view name) {
  for (const Target& target : kTargets)
    if (name == target.kernels->name) return target.runs(cpu_features()) ? target.kernels : nullptr;
  return nullptr;
}

}  // namespace embedrt
