// The constants of the file, as docs/format.md gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace embedrt::format {

constexpr std::string_view kMagic{"EMBEDRT\0", 8};
constexpr uint32_t kVersion = 1;

constexpr size_t kHeaderSize = 64;
constexpr size_t kSectionEntrySize = 32;
constexpr size_t kChecksumSize = 8;
constexpr size_t kAlignment = 64;
constexpr size_t kTailSize = 1024;  // zero bytes after the last tensor, for kernels that read whole vectors

constexpr uint16_t kNoTensor = 65535;

enum class SectionKind : uint32_t { program = 1, text, tokenizer, image, about, report, golden, tensors };

struct SectionRule {
  SectionKind kind;
  std::string_view name;
  uint64_t max_size;
  bool decides_vectors;
};

// In order of kind, from 1.
constexpr SectionRule kSectionRules[] = {
    {SectionKind::program, "program", uint64_t{16} << 20, true},
    {SectionKind::text, "text", uint64_t{1} << 20, true},
    {SectionKind::tokenizer, "tokenizer", uint64_t{64} << 20, true},
    {SectionKind::image, "image", uint64_t{1} << 20, true},
    {SectionKind::about, "about", uint64_t{1} << 20, false},
    {SectionKind::report, "report", uint64_t{1} << 20, false},
    {SectionKind::golden, "golden", uint64_t{16} << 20, false},
    {SectionKind::tensors, "tensors", uint64_t{1} << 40, true},
};

}  // namespace embedrt::format
