// What the C library makes of exceptions, and of structs that have another size.
#include <cerrno>
#include <new>
#include <string>

#include "c_api/boundary.h"
#include "check.h"

using namespace embedrt;
using namespace embedrt::c_api;

namespace {

struct Known {
  size_t size;
  int32_t first, second;
};

struct Newer {
  size_t size;
  int32_t first, second, third, fourth;
};

std::string message_of(const std::string& message) {
  embedrt_error error;
  guarded(&error, [&] { throw InputError(message); });
  return error.message;
}

}  // namespace

TEST(c_api_every_exception_is_a_status) {
  const auto status_of = [](auto thrown) {
    embedrt_error error;
    const embedrt_status status = guarded(&error, [&] { throw thrown; });
    CHECK(error.status == status && error.message[0] != '\0');
    CHECK(error.system_code == (status == EMBEDRT_SYSTEM_ERROR ? EACCES : 0));
    CHECK(guarded(nullptr, [&] { throw thrown; }) == status);
    return status;
  };
  CHECK(status_of(FormatError("a")) == EMBEDRT_FORMAT_ERROR);
  CHECK(status_of(InputError("a")) == EMBEDRT_INPUT_ERROR);
  CHECK(status_of(SystemError("a", EACCES)) == EMBEDRT_SYSTEM_ERROR);
  CHECK(status_of(std::bad_alloc()) == EMBEDRT_OUT_OF_MEMORY);
  CHECK(status_of(std::bad_array_new_length()) == EMBEDRT_OUT_OF_MEMORY);
  CHECK(status_of(Error("a")) == EMBEDRT_OTHER_ERROR);
  CHECK(status_of(std::length_error("a")) == EMBEDRT_OTHER_ERROR);
  CHECK(status_of(7) == EMBEDRT_OTHER_ERROR);
  embedrt_error error{EMBEDRT_OTHER_ERROR, 3, "before"};
  CHECK(guarded(&error, [] {}) == EMBEDRT_OK);
  CHECK(error.status == EMBEDRT_OK && error.system_code == 0 && error.message[0] == '\0');
}

TEST(c_api_messages_end_after_a_character) {
  constexpr size_t kMost = sizeof(embedrt_error::message) - 1;
  CHECK(message_of(std::string(kMost, 'a')) == std::string(kMost, 'a'));
  CHECK(message_of(std::string(kMost + 1, 'a')) == std::string(kMost, 'a'));
  // Two, three and four bytes, cut after each of them.
  for (const std::string character : {"é", "漢", "𝄞"})
    for (size_t inside = 0; inside <= character.size(); ++inside) {
      const std::string before(kMost - inside, 'a');
      CHECK(message_of(before + character + "b") == (inside == character.size() ? before + character : before));
    }
}

TEST(c_api_reads_structs_of_other_versions) {
  const Newer newer{sizeof(Newer), 1, 2, 0, 0};
  Known older{sizeof(size_t) + sizeof(int32_t), 5, 6};
  const Known from_newer = read(reinterpret_cast<const Known*>(&newer), "options");
  CHECK(from_newer.first == 1 && from_newer.second == 2);
  CHECK(read(&older, "options").first == 5 && read(&older, "options").second == 0);
  const Newer set{sizeof(Newer), 1, 2, 0, 4};
  CHECK_THROWS(InputError, "options: a member is set that this version of the library does not know",
               read(reinterpret_cast<const Known*>(&set), "options"));
  older.size = kMaxStruct + 1;
  CHECK_THROWS(InputError, "options: size is 4097; set it to the struct's sizeof", read(&older, "options"));
  CHECK_THROWS(InputError, "options is NULL", read(static_cast<const Known*>(nullptr), "options"));
}

TEST(c_api_writes_structs_of_other_versions) {
  Newer newer{sizeof(Newer), 9, 9, 9, 9};
  write(Known{0, 1, 2}, reinterpret_cast<Known*>(&newer), "info");
  CHECK(newer.size == sizeof(Newer) && newer.first == 1 && newer.second == 2 && newer.third == 0 && newer.fourth == 0);
  Known older{sizeof(size_t) + sizeof(int32_t), 9, 9};
  write(Known{0, 1, 2}, &older, "info");
  CHECK(older.size == sizeof(size_t) + sizeof(int32_t) && older.first == 1 && older.second == 9);
}
