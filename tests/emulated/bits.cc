// Prints a hash of what each kernel computes from fixed inputs, and of the vectors that a program of images and a model
// file give: a line each. On every instruction set, compiler and machine the lines must be the same.
//
//   embedrt_bits                        the instruction sets that can run here
//   embedrt_bits ISA quick|full [MODEL] full: all calls of the kernels that embedrt_tests makes; quick: a selection
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/xxh64.h"
#include "image_maker.h"
#include "isa/dispatch.h"
#include "kernel_cases.h"
#include "program/model.h"

namespace embedrt::test {
namespace {

void print(const std::string& what, const std::vector<uint8_t>& bytes) {
  const uint64_t hash = xxh64({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  std::printf("%s %016llx\n", what.c_str(), static_cast<unsigned long long>(hash));
}

void hash_kernels(const Kernels& kernels, Amount amount) {
  std::map<std::string, std::vector<uint8_t>> results;
  for (const KernelCase& one : all_cases(amount)) {
    const auto bytes = one.run(kernels);
    append(results[one.kernel], static_cast<const void*>(bytes.data()), bytes.size());
  }
  for (const auto& [kernel, bytes] : results) print(kernel, bytes);
}

void hash_images(const Kernels& kernels) {
  constexpr size_t kImages = 3;
  const Model model(MappedFile::copy(make_file(every_image_op(33))), 2, kernels);
  const ProgramLimits limits = model.program().limits;
  Random random(1);
  std::vector<uint8_t> pixels(kImages * limits.image_height * limits.image_width * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.below(256));
  for (const Output& output : model.program().outputs) {
    const ValueType type = model.output_type(output.name);
    std::vector<float> vectors(kImages * type.item_rows() * type.columns);
    model.run_images(pixels.data(), kImages, output.name, vectors.data(), [] { return false; });
    std::vector<uint8_t> bytes;
    append(bytes, vectors.data(), vectors.size());
    print(output.name, bytes);
  }
}

// Texts of every length up to the model's longest, with random tokens.
void hash_model(const Kernels& kernels, const std::string& path) {
  const Model model(MappedFile::open(path, true), 2, kernels);
  const ProgramLimits limits = model.program().limits;
  Random random(1);
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  for (uint32_t length = 0; length <= limits.max_tokens; length += 1 + length / 16) {
    for (uint32_t i = 0; i < length; ++i) ids.push_back(static_cast<int32_t>(random.below(limits.vocabulary)));
    offsets.push_back(static_cast<int64_t>(ids.size()));
  }
  for (const Output& output : model.program().outputs) {
    const ValueType type = model.output_type(output.name);
    const size_t rows = type.kind == ValueKind::rows ? ids.size() : offsets.size() - 1;
    std::vector<float> vectors(rows * type.columns);
    model.run({.ids = ids, .offsets = offsets}, {{output.name, vectors.data()}}, [] { return false; });
    std::vector<uint8_t> bytes;
    append(bytes, vectors.data(), vectors.size());
    print(output.name, bytes);
  }
}

int run(int count, char** arguments) {
  if (count < 2) {
    for (const std::string& isa : available_isas()) std::printf("%s\n", isa.c_str());
    return 0;
  }
  const Kernels* kernels = kernels_of(arguments[1]);
  if (kernels == nullptr) throw InputError(std::string(arguments[1]) + " cannot run here");
  const std::string amount = count > 2 ? arguments[2] : "";
  if (amount != "quick" && amount != "full") throw InputError("embedrt_bits ISA quick|full [MODEL]");
  hash_kernels(*kernels, amount == "full" ? Amount::full : Amount::quick);
  hash_images(*kernels);
  if (count > 3) hash_model(*kernels, arguments[3]);
  return 0;
}

}  // namespace
}  // namespace embedrt::test

int main(int count, char** arguments) {
  try {
    return embedrt::test::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
