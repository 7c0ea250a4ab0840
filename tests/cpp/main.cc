// Runs every test, or those whose name begins with an argument.
#include <exception>
#include <string_view>

#include "check.h"

int main(int count, char** arguments) {
  int run = 0;
  for (const auto& test : embedrt::test::tests()) {
    bool wanted = count < 2;
    for (int i = 1; i < count; ++i) wanted = wanted || std::string_view(test.name).starts_with(arguments[i]);
    if (!wanted) continue;
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
