// Hashes, files, and what the process may use of the machine.
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#ifndef _WIN32
#include <sys/stat.h>
#endif

#include "base/cpu.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/xxh64.h"
#include "check.h"
#include "temporary_folder.h"

using namespace embedrt;
namespace fs = std::filesystem;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// 0, 1, 2 … 250, 0, 1 …
std::vector<std::byte> counting(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i % 251);
  return bytes;
}

void write(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST(xxh64_known_answers) {
  CHECK(xxh64({}) == 0xEF46DB3751D8E999);
  CHECK(xxh64(bytes_of("a")) == 0xD24EC4F1A98C6E5B);
  CHECK(xxh64(bytes_of("abc")) == 0x44BC2CF5AD770999);
  CHECK(xxh64(bytes_of("Nobody inspects the spammish repetition")) == 0xFBCEA83C8A378BF1);
  CHECK(xxh64({}, 1) == 0xD5AFBA1336A3BE4B);
}

TEST(sha256_known_answers) {
  CHECK(to_hex(sha256({})) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha256(bytes_of("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::vector<std::byte> million(1000000, std::byte{'a'});
  CHECK(to_hex(sha256(million)) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// One digest over the digests of every length around the blocks' edges, computed once with Python's hashlib and xxhash.
TEST(hashes_of_every_length) {
  Sha256 lengths;
  const std::vector<std::byte> bytes = counting(300);
  for (size_t size = 0; size <= 300; ++size) {
    const auto part = std::span(bytes).first(size);
    lengths.update(sha256(part));
    const uint64_t checksum = xxh64(part, size);
    lengths.update(std::as_bytes(std::span(&checksum, 1)));
  }
  CHECK(to_hex(lengths.finish()) == "9d75f96dcfea2729bd504fda627be8bd311c7f8fc88fa3e514d1d087728a8ee3");
}

TEST(sha256_in_pieces) {
  const std::vector<std::byte> bytes = counting(1000);
  for (size_t step = 1; step < 200; ++step) {
    Sha256 hash;
    for (size_t at = 0; at < bytes.size(); at += step) {
      hash.update(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
    }
    CHECK(hash.finish() == sha256(bytes));
  }
}

TEST(mapped_file_maps_and_copies) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write(path, "some bytes");
  for (const bool map : {true, false}) {
    const auto file = MappedFile::open(path.string(), map);
    CHECK(file->mapped() == map);
    CHECK(file->bytes().size() == 10 && std::memcmp(file->bytes().data(), "some bytes", 10) == 0);
    CHECK(reinterpret_cast<uintptr_t>(file->bytes().data()) % 64 == 0);
  }
  const auto copy = MappedFile::copy(bytes_of("other bytes"));
  CHECK(copy->bytes().size() == 11 && std::memcmp(copy->bytes().data(), "other bytes", 11) == 0);
  CHECK(reinterpret_cast<uintptr_t>(copy->bytes().data()) % 64 == 0);
  write(path, "");
  CHECK(MappedFile::open(path.string())->bytes().empty());
  CHECK(MappedFile::copy({})->bytes().empty());
}

TEST(mapped_file_of_any_name) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / u8"Größe 日本 😀";
  write(path, "some bytes");
  const std::u8string name = path.u8string();
  for (const bool map : {true, false})
    CHECK(MappedFile::open(std::string(name.begin(), name.end()), map)->bytes().size() == 10);
}

TEST(mapped_file_stays_when_its_file_is_removed) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write(path, "some bytes");
  const auto file = MappedFile::open(path.string());
  std::error_code refused;  // by Windows, while it is mapped
  fs::remove(path, refused);
  CHECK(std::memcmp(file->bytes().data(), "some bytes", 10) == 0);
}

TEST(mapped_file_beyond_32_bits) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  write(path, "");
  constexpr uint64_t kFourGigabytes = uint64_t{1} << 32;
  fs::resize_file(path, kFourGigabytes);
  std::ofstream(path, std::ios::binary | std::ios::app) << "the end";
  const auto file = MappedFile::open(path.string());
  CHECK(file->bytes().size() == kFourGigabytes + 7);
  CHECK(std::memcmp(file->bytes().data() + kFourGigabytes, "the end", 7) == 0);
}

TEST(mapped_file_refuses) {
  const test::TemporaryFolder folder;
  const std::string missing = (folder.path() / "missing").string();
  CHECK_THROWS(SystemError, "missing: " + std::generic_category().message(ENOENT), MappedFile::open(missing));
  CHECK_THROWS(SystemError, std::generic_category().message(EISDIR), MappedFile::open(folder.path().string()));
  CHECK_THROWS(InputError, "zero byte", MappedFile::open(std::string("a\0b", 3)));
#ifdef _WIN32
  CHECK_THROWS(InputError, "not UTF-8", MappedFile::open("\xff"));
#else
  const std::string fifo = (folder.path() / "fifo").string();
  CHECK(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_THROWS(InputError, "fifo: not a regular file", MappedFile::open(fifo));
  CHECK_THROWS(InputError, "not a regular file", MappedFile::open("/dev/zero"));
#endif
}

TEST(cgroup_version_2) {
  const test::TemporaryFolder folder;
  const std::string root = folder.path().string();
  CHECK(cgroup_cpus(root) == 0);
  const fs::path groups = folder.path() / "proc/self/cgroup", mount = folder.path() / "sys/fs/cgroup";
  write(groups, "0::/user.slice/app.scope\n");
  CHECK(cgroup_cpus(root) == 0);
  write(mount / "user.slice/app.scope/cpu.max", "max 100000\n");
  CHECK(cgroup_cpus(root) == 0);
  write(mount / "user.slice/cpu.max", "250000 100000\n");
  CHECK(cgroup_cpus(root) == 3);
  write(mount / "user.slice/app.scope/cpu.max", "10000 100000\n");
  CHECK(cgroup_cpus(root) == 1);
  write(mount / "user.slice/app.scope/cpu.max", "400000 100000\n");
  CHECK(cgroup_cpus(root) == 3);
  write(mount / "cpu.max", "200000 100000\n");  // a container's own group, seen as the root
  CHECK(cgroup_cpus(root) == 2);
  for (const char* odd : {"", "x", "100000", "-5 100000", "100000 0", "9223372036854775808 1"}) {
    write(mount / "cpu.max", odd);
    CHECK(cgroup_cpus(root) == 3);
  }
  write(groups, "0::/../other\n");
  write(mount / "cpu.max", "500000 100000\n");
  CHECK(cgroup_cpus(root) == 5);
  write(groups, "0::/\n");
  CHECK(cgroup_cpus(root) == 5);
  for (const char* odd : {"", "\n", "0", "0:", "0::", "::", "\n\n0::\n"}) {
    write(groups, odd);
    CHECK(cgroup_cpus(root) == (std::string_view(odd).find("0::") == std::string_view::npos ? 0u : 5u));
  }
}

TEST(cgroup_version_1) {
  const test::TemporaryFolder folder;
  const std::string root = folder.path().string();
  const fs::path mount = folder.path() / "sys/fs/cgroup/cpu,cpuacct";
  write(folder.path() / "proc/self/cgroup", "5:cpuset:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/docker/x\n");
  write(mount / "docker/cpu.cfs_quota_us", "-1\n");
  write(mount / "docker/cpu.cfs_period_us", "100000\n");
  CHECK(cgroup_cpus(root) == 0);
  write(mount / "docker/cpu.cfs_quota_us", "150000\n");
  CHECK(cgroup_cpus(root) == 2);
  write(mount / "cpu.cfs_quota_us", "100000\n");
  CHECK(cgroup_cpus(root) == 2);  // no period beside it
  write(mount / "cpu.cfs_period_us", "100000\n");
  CHECK(cgroup_cpus(root) == 1);
}

TEST(cpu_sanity) {
  CHECK(affinity_cpus() >= 1);
  CHECK(default_threads() >= 1 && default_threads() <= affinity_cpus());
  const CpuFeatures& f = cpu_features();
  CHECK(&f == &cpu_features());
#if defined(__x86_64__)
  CHECK(f.avx2 == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
  CHECK(f.avx512_vnni == static_cast<bool>(__builtin_cpu_supports("avx512vnni")));
#endif
  if (request_amx()) CHECK(f.amx_int8);
}
