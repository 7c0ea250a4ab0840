#include "program/model_file.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/sha256.h"
#include "base/xxh64.h"
#include "program/byte_reader.h"
#include "program/limits.h"

namespace embedrt {
namespace {

using format::SectionKind;

constexpr size_t kDigestOffset = 32;

[[noreturn]] void fail(std::string_view where, const std::string& problem) {
  throw FormatError(std::string(where) + ": " + problem);
}

std::span<const std::byte> little_endian(const uint32_t& value) {
  return std::as_bytes(std::span(&value, 1));
}
std::span<const std::byte> little_endian(const uint64_t& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

ModelFile::ModelFile(std::shared_ptr<const MappedFile> source) : source_(std::move(source)) {
  const std::span<const std::byte> bytes = source_->bytes();
  if (bytes.size() < format::kHeaderSize ||
      std::memcmp(bytes.data(), format::kMagic.data(), format::kMagic.size()) != 0) {
    fail("header", "this is not an embedrt model");
  }
  head_.assign(bytes.begin(), bytes.begin() + format::kHeaderSize);
  ByteReader header(std::span<const std::byte>(head_).subspan(format::kMagic.size()), "header");
  const uint32_t version = header.u32("version");
  if (version != format::kVersion) {
    fail("header", "the file has format version " + std::to_string(version) + ", this runtime reads " +
                       std::to_string(format::kVersion) + "; reconvert the model or change the runtime");
  }
  revision_ = header.u32("numerics revision");
  const uint64_t size = header.u64("size");
  const uint32_t count = header.u32("sections");
  if (size != bytes.size()) {
    fail("header", "the file should have " + std::to_string(size) + " bytes and has " + std::to_string(bytes.size()));
  }
  if (size % format::kAlignment != 0) fail("header", "the size is not a multiple of 64");
  if (count < 2 || count > kMaxSections) fail("header", std::to_string(count) + " sections, allowed are 2 to 16");
  if (header.u32("reserved word") != 0) fail("header", "the reserved word is not zero");

  const size_t table_end = format::kHeaderSize + count * format::kSectionEntrySize;
  if (bytes.size() < table_end + format::kChecksumSize) fail("section table", "runs past the end of the file");
  head_.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(table_end + format::kChecksumSize));
  const auto checked = std::span<const std::byte>(head_).first(table_end);
  uint64_t checksum = 0;
  std::memcpy(&checksum, head_.data() + table_end, sizeof checksum);
  if (checksum != xxh64(checked)) fail("header", "checksum mismatch: the file is damaged");

  for (size_t i = 0; i < count; ++i) {
    const size_t at = format::kHeaderSize + i * format::kSectionEntrySize;
    sections_.push_back(read_entry(checked.subspan(at, format::kSectionEntrySize), i));
  }
  check_layout(table_end + format::kChecksumSize);

  for (Section& section : sections_) {
    if (section.rule->kind == SectionKind::tensors) continue;
    section.copy = MappedFile::copy(bytes.subspan(section.offset, section.size));
    if (xxh64(section.copy->bytes()) != section.checksum) {
      fail(section.rule->name, "checksum mismatch: the file is damaged");
    }
  }
}

ModelFile::Section ModelFile::read_entry(std::span<const std::byte> entry, size_t index) const {
  const std::string where = "section table, entry " + std::to_string(index);
  ByteReader reader(entry, where);
  const uint32_t kind = reader.u32("kind");
  if (kind == 0 || kind > std::size(format::kSectionRules)) fail(where, "unknown kind " + std::to_string(kind));
  Section section;
  section.rule = &format::kSectionRules[kind - 1];
  if (reader.u32("reserved word") != 0) fail(where, "the reserved word is not zero");
  section.offset = reader.u64("offset");
  section.size = reader.u64("size");
  section.checksum = reader.u64("checksum");
  return section;
}

void ModelFile::check_layout(size_t table_end) const {
  const uint64_t file_size = source_->bytes().size();
  uint64_t end = table_end;
  uint32_t previous = 0;
  for (const Section& section : sections_) {
    const std::string_view name = section.rule->name;
    const auto kind = static_cast<uint32_t>(section.rule->kind);
    if (kind == previous) fail(name, "the section stands twice in the table");
    if (kind < previous) fail(name, "the section table is not in ascending order of kind");
    previous = kind;
    if (section.size > section.rule->max_size) {
      fail(name, std::to_string(section.size) + " bytes, allowed are " + std::to_string(section.rule->max_size));
    }
    if (section.offset % format::kAlignment != 0) fail(name, "the offset is not a multiple of 64");
    if (section.offset < end) fail(name, "overlaps what stands before it");
    if (section.offset > file_size || section.size > file_size - section.offset) {
      fail(name, "runs past the end of the file");
    }
    end = section.offset + section.size;
  }
  if (find(SectionKind::program) == nullptr) fail("section table", "there is no program");
  if (find(SectionKind::tensors) == nullptr) fail("section table", "there are no tensors");
  if (file_size - end < format::kTailSize) fail("tensors", "fewer than 1024 bytes follow");
}

const ModelFile::Section* ModelFile::find(SectionKind kind) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const Section& section) { return section.rule->kind == kind; });
  return found == sections_.end() ? nullptr : &*found;
}

std::span<const std::byte> ModelFile::content(const Section& section) const {
  return section.copy ? section.copy->bytes() : source_->bytes().subspan(section.offset, section.size);
}

std::span<const std::byte> ModelFile::section(SectionKind kind) const {
  const Section* found = find(kind);
  return found == nullptr ? std::span<const std::byte>() : content(*found);
}

std::optional<std::span<const std::byte>> ModelFile::json_section(std::string_view name) const {
  for (const format::SectionRule& rule : format::kSectionRules) {
    if (rule.name != name || rule.kind == SectionKind::program || rule.kind == SectionKind::tensors) continue;
    if (!has_section(rule.kind)) return std::nullopt;
    return section(rule.kind);
  }
  throw InputError("no section is called " + std::string(name));
}

void ModelFile::verify_bulk() const {
  const std::span<const std::byte> bytes = source_->bytes();
  const Section& bulk = *find(SectionKind::tensors);
  if (xxh64(content(bulk)) != bulk.checksum) fail("tensors", "checksum mismatch: the file is damaged");

  uint64_t end = head_.size();
  const auto check_zeros = [&](uint64_t until, std::string_view before) {
    const auto gap = bytes.subspan(end, until - end);
    const auto odd = std::find_if(gap.begin(), gap.end(), [](std::byte byte) { return byte != std::byte{0}; });
    if (odd == gap.end()) return;
    fail("padding", "byte " + std::to_string(end + static_cast<uint64_t>(odd - gap.begin())) + ", before " +
                        std::string(before) + ", is not zero");
  };
  for (const Section& section : sections_) {
    check_zeros(section.offset, section.rule->name);
    end = section.offset + section.size;
  }
  check_zeros(bytes.size(), "the end of the file");

  Sha256 digest;
  for (const Section& section : sections_) {
    if (!section.rule->decides_vectors) continue;
    const auto kind = static_cast<uint32_t>(section.rule->kind);
    digest.update(little_endian(kind));
    digest.update(little_endian(section.size));
    digest.update(sha256(content(section)));
  }
  const Sha256::Digest computed = digest.finish();
  if (!std::equal(computed.begin(), computed.end(), head_.begin() + kDigestOffset)) {
    fail("header", "the content digest does not match the content");
  }
}

std::string ModelFile::fingerprint(uint32_t numerics_revision) const {
  Sha256 hash;
  hash.update(std::span<const std::byte>(head_).subspan(kDigestOffset, 32));
  hash.update(little_endian(numerics_revision));
  return to_hex(hash.finish()).substr(0, 32);
}

}  // namespace embedrt
