// The container: header, table, checksums.
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/xxh64.h"
#include "check.h"
#include "file_maker.h"
#include "program/byte_reader.h"
#include "program/model_file.h"

using namespace embedrt;
using namespace embedrt::test;
using format::SectionKind;

namespace {

constexpr size_t kTable = format::kHeaderSize;

Bytes text(const char* words) {
  const auto span = std::as_bytes(std::span(words, std::strlen(words)));
  return {span.begin(), span.end()};
}

// program, text and tensors; the table's entries are 0, 1 and 2.
Bytes good_file() {
  return make_file({{1, text("program")}, {2, text("{}")}, {8, Bytes(100, std::byte{7})}});
}

ModelFile open(const Bytes& file) {
  return ModelFile(MappedFile::copy(file));
}

void refused(Bytes file, const char* message) {
  repair_header(file);
  CHECK_THROWS(FormatError, message, open(file));
}

template <class T>
Bytes with(size_t at, T value) {
  Bytes file = good_file();
  put(file, at, value);
  return file;
}

uint64_t field(const Bytes& file, size_t at) {
  uint64_t value;
  std::memcpy(&value, file.data() + at, sizeof value);
  return value;
}

}  // namespace

TEST(file_good) {
  const ModelFile file = open(good_file());
  CHECK(file.section(SectionKind::program).size() == 7);
  CHECK(std::memcmp(file.section(SectionKind::program).data(), "program", 7) == 0);
  CHECK(file.section(SectionKind::tensors).size() == 100);
  CHECK(reinterpret_cast<uintptr_t>(file.section(SectionKind::tensors).data()) % 64 == 0);
  CHECK(file.has_section(SectionKind::text) && !file.has_section(SectionKind::about));
  CHECK(file.section(SectionKind::about).empty());
  CHECK(file.golden_revision() == 1);
  CHECK(file.file_size() == good_file().size());
  file.verify_bulk();
}

TEST(file_fingerprint_follows_what_decides_vectors) {
  const std::string fingerprint = open(good_file()).fingerprint(1);
  CHECK(fingerprint.size() == 32 && fingerprint.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(open(good_file()).fingerprint(2) != fingerprint);
  const Bytes program = text("program"), bulk(100, std::byte{7});
  CHECK(open(make_file({{1, program}, {2, text("{}")}, {5, text("about")}, {8, bulk}})).fingerprint(1) == fingerprint);
  CHECK(open(make_file({{1, program}, {2, text("{ }")}, {8, bulk}})).fingerprint(1) != fingerprint);
  CHECK(open(make_file({{1, program}, {2, text("{}")}, {8, Bytes(100)}})).fingerprint(1) != fingerprint);
  CHECK(open(make_file({{1, program}, {3, text("{}")}, {8, bulk}})).fingerprint(1) != fingerprint);
}

TEST(file_header) {
  CHECK_THROWS(FormatError, "not an embedrt model", open({}));
  CHECK_THROWS(FormatError, "not an embedrt model", open(Bytes(63)));
  CHECK_THROWS(FormatError, "not an embedrt model", open(with(0, uint8_t{'e'})));
  CHECK_THROWS(FormatError, "not an embedrt model", open(with(7, uint8_t{1})));
  refused(with(8, uint32_t{2}), "header: the file has format version 2");
  refused(with(24, uint32_t{1}), "header: 1 sections");
  refused(with(24, uint32_t{17}), "header: 17 sections");
  refused(with(28, uint32_t{1}), "header: the reserved word is not zero");
  CHECK_THROWS(FormatError, "header: checksum mismatch", open(with(12, uint32_t{3})));
  CHECK_THROWS(FormatError, "header: checksum mismatch", open(with(40, uint8_t{1})));
}

TEST(file_size) {
  Bytes file = good_file();
  file.resize(file.size() - 64);
  CHECK_THROWS(FormatError, "header: the file should have", open(file));
  file.resize(file.size() + 128);
  CHECK_THROWS(FormatError, "header: the file should have", open(file));
  file.resize(file.size() - 63);
  put(file, 16, uint64_t{file.size()});
  refused(file, "header: the size is not a multiple of 64");
  file.resize(128);
  put(file, 16, uint64_t{128});
  refused(file, "section table: runs past the end");
}

TEST(file_section_table) {
  refused(with(kTable, uint32_t{0}), "section table, entry 0: unknown kind 0");
  refused(with(kTable + 32, uint32_t{9}), "section table, entry 1: unknown kind 9");
  refused(with(kTable + 4, uint32_t{1}), "section table, entry 0: the reserved word");
  refused(with(kTable + 32, uint32_t{1}), "program: the section stands twice");
  refused(with(kTable, uint32_t{3}), "text: the section table is not in ascending order");
  refused(make_file({{2, text("{}")}, {8, Bytes(64)}}), "there is no program");
  refused(make_file({{1, text("{}")}, {2, Bytes(64)}}), "there are no tensors");
  refused(make_file({{1, Bytes((16u << 20) + 1)}, {8, Bytes(64)}}), "program: 16777217 bytes, allowed are 16777216");
  refused(make_file({{1, Bytes(1)}, {2, Bytes((1u << 20) + 1)}, {8, Bytes(64)}}), "text: 1048577 bytes");
}

TEST(file_section_places) {
  const Bytes good = good_file();
  const uint64_t first = field(good, kTable + 8), last = field(good, kTable + 72);
  refused(with(kTable + 8, first + 4), "program: the offset is not a multiple of 64");
  refused(with(kTable + 8, uint64_t{128}), "program: overlaps");
  refused(with(kTable + 40, first), "text: overlaps");
  refused(with(kTable + 72, uint64_t{1} << 32), "tensors: runs past the end");
  refused(with(kTable + 72, ~uint64_t{63}), "tensors: runs past the end");
  refused(with(kTable + 80, uint64_t{1} << 30), "tensors: runs past the end");
  refused(with(kTable + 80, ~uint64_t{0}), "tensors: 18446744073709551615 bytes");
  refused(with(kTable + 80, good.size() - last), "tensors: fewer than 1024 bytes follow");
  refused(with(kTable + 72, last + 64), "tensors: fewer than 1024 bytes follow");
}

TEST(file_checksums) {
  Bytes file = good_file();
  put(file, field(file, kTable + 8), uint8_t{'P'});
  CHECK_THROWS(FormatError, "program: checksum mismatch", open(file));
  file = good_file();
  put(file, field(file, kTable + 40), uint8_t{'P'});
  CHECK_THROWS(FormatError, "text: checksum mismatch", open(file));
}

TEST(file_verify_bulk) {
  const Bytes good = good_file();
  const size_t bulk = field(good, kTable + 72);
  const auto verify = [](const Bytes& file) { open(file).verify_bulk(); };
  Bytes file = good;
  put(file, bulk + 99, uint8_t{6});
  open(file);  // loading does not read the bulk
  CHECK_THROWS(FormatError, "tensors: checksum mismatch", verify(file));
  for (const size_t at : {bulk + 100, file.size() - 1}) {
    file = good;
    put(file, at, uint8_t{1});
    CHECK_THROWS(FormatError, ("padding: byte " + std::to_string(at)).c_str(), verify(file));
  }
  file = good;
  put(file, field(good, kTable + 8) + 7, uint8_t{1});
  CHECK_THROWS(FormatError, "before text, is not zero", verify(file));
  file = good;
  put(file, bulk + 99, uint8_t{6});
  put(file, kTable + 88, xxh64(std::span<const std::byte>(file).subspan(bulk, 100)));
  repair_header(file);
  CHECK_THROWS(FormatError, "header: the content digest", verify(file));
}

TEST(file_sections_are_private_copies) {
  // What was checked is what is read, though the file changes under the mapping.
  const auto source = MappedFile::copy(good_file());
  const ModelFile file(source);
  const size_t program = field(good_file(), kTable + 8);
  const_cast<std::byte*>(source->bytes().data())[program] = std::byte{'X'};
  CHECK(std::memcmp(file.section(SectionKind::program).data(), "program", 7) == 0);
}

TEST(byte_reader_checks) {
  const Bytes bytes = {std::byte{1}, std::byte{2}, std::byte{0}, std::byte{2}, std::byte{'a'}, std::byte{'!'}};
  ByteReader reader(bytes, "here");
  CHECK(reader.u8("x") == 1 && reader.u16("x") == 2 && reader.at() == 3);
  CHECK_THROWS(FormatError, "here: ends inside a size (byte 3)", reader.u32("a size"));
  CHECK_THROWS(FormatError, "here: ends inside a size (byte 3)", reader.u64("a size"));
  CHECK_THROWS(FormatError, "here: 3 bytes follow the last record (byte 3)", reader.end());
  CHECK_THROWS(FormatError, "here: a name has a character outside", reader.str8("a name"));
  ByteReader empty(std::span<const std::byte>(bytes).subspan(2, 1), "here");
  CHECK_THROWS(FormatError, "a name is an empty name", empty.str8("a name"));
  ByteReader cut(std::span<const std::byte>(bytes).subspan(3, 2), "here");
  CHECK_THROWS(FormatError, "ends inside a name (byte 1)", cut.str8("a name"));
}
