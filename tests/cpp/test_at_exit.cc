// The end of a process while one of its threads is in a call.
#ifndef _WIN32

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/thread_pool.h"
#include "check.h"

using embedrt::parallel_for;
using namespace std::chrono_literals;

namespace {

bool is_child = false;

}  // namespace

// Asked by the leak checker, where there is one. To it the threads that a child inherits in name only are leaks.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() {
  return is_child;
}

TEST(pool_ends_in_order_while_a_thread_still_calls) {
  const pid_t child = ::fork();
  if (child == 0) {
    is_child = true;
    ::alarm(20);
    std::thread([] {
      for (;;) parallel_for(3, 5, [](size_t, unsigned) { std::this_thread::yield(); });
    }).detach();
    std::this_thread::sleep_for(5ms);
    ::exit(0);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
