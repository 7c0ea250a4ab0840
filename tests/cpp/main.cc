// Runs every test, or those whose name begins with an argument; all but those that begin with what stands after a "-".
#include <exception>
#include <string_view>

#include "check.h"

namespace {

bool wanted(std::string_view test, int count, char** arguments) {
  bool named = false, none_named = true;
  for (int i = 1; i < count; ++i) {
    std::string_view prefix = arguments[i];
    if (prefix.starts_with('-')) {
      if (test.starts_with(prefix.substr(1))) return false;
    } else {
      none_named = false;
      named = named || test.starts_with(prefix);
    }
  }
  return named || none_named;
}

}  // namespace

int main(int count, char** arguments) {
  int run = 0;
  for (const auto& test : embedrt::test::tests()) {
    if (!wanted(test.name, count, arguments)) continue;
    ++run;
    const int before = embedrt::test::failures();
    try {
      test.run();
    } catch (const std::exception& error) {
      embedrt::test::check(false, "uncaught exception", test.name, 0, error.what());
    }
    if (embedrt::test::failures() != before) std::fprintf(stderr, "FAILED %s\n", test.name);
  }
  std::printf("%d tests, %d failures\n", run, embedrt::test::failures());
  return run == 0 || embedrt::test::failures() != 0;
}
