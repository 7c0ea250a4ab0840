// The container: header, section table and checksums of a model file. What the sections mean is not known here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "program/format.h"

namespace embedrt {

// A file whose header, section table and checksums hold, except for the bulk. Every section but `tensors` is a private
// copy, so what was checked is what is read, whatever happens to the file. `tensors` points into the source.
class ModelFile {
 public:
  // Throws FormatError.
  explicit ModelFile(std::shared_ptr<const MappedFile> source);

  // Empty when the file has none; `program` and `tensors` are always there. Valid as long as this object.
  std::span<const std::byte> section(format::SectionKind kind) const;
  // One that holds JSON, by its name; none when the file has none. Throws InputError for a name that is not of these.
  std::optional<std::span<const std::byte>> json_section(std::string_view name) const;
  bool has_section(format::SectionKind kind) const { return find(kind) != nullptr; }

  uint32_t golden_revision() const { return revision_; }  // numerics revision of the golden vectors
  uint64_t file_size() const { return source_->bytes().size(); }

  // Reads all that loading did not: the tensors, the zero bytes between sections, the content digest. Throws
  // FormatError.
  void verify_bulk() const;

  // 32 hexadecimal digits: what decides vectors, together with the runtime's own numerics revision.
  std::string fingerprint(uint32_t numerics_revision) const;

 private:
  struct Section {
    const format::SectionRule* rule = nullptr;
    uint64_t offset = 0;
    uint64_t size = 0;
    uint64_t checksum = 0;
    std::shared_ptr<const MappedFile> copy;  // none for the bulk
  };

  const Section* find(format::SectionKind kind) const;
  std::span<const std::byte> content(const Section& section) const;
  Section read_entry(std::span<const std::byte> entry, size_t index) const;
  void check_layout(size_t table_end) const;

  std::shared_ptr<const MappedFile> source_;
  std::vector<std::byte> head_;  // the header and the table, copied before they are looked at
  std::vector<Section> sections_;
  uint32_t revision_ = 0;
};

}  // namespace embedrt
