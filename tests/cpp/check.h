// A test is a function that registers itself; CHECK notes a failure and goes on.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace embedrt::test {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

inline void check(bool good, const char* what, const char* file, int line, const std::string& note = {}) {
  if (good) return;
  ++failures();
  std::fprintf(stderr, "%s:%d: %s%s%s\n", file, line, what, note.empty() ? "" : ": ", note.c_str());
}

// `body` throws an E whose message contains `part`. Another exception is a failure of the test.
template <class E>
void check_throws(const std::string& part, const std::function<void()>& body, const char* what, const char* file,
                  int line) {
  std::string message = "nothing was thrown";
  try {
    body();
  } catch (const E& error) {
    message = error.what();
  }
  check(message.find(part) != std::string::npos, what, file, line,
        "expected \"" + part + "\", got \"" + message + "\"");
}

}  // namespace embedrt::test

#define TEST(name)                                                          \
  static void test_##name();                                                \
  static const embedrt::test::Register register_##name{#name, test_##name}; \
  static void test_##name()

#define CHECK(condition) embedrt::test::check(static_cast<bool>(condition), #condition, __FILE__, __LINE__)

#define CHECK_THROWS(E, part, ...) \
  embedrt::test::check_throws<E>(part, [&] { __VA_ARGS__; }, #__VA_ARGS__, __FILE__, __LINE__)
