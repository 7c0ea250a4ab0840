// The end of a process while one of its threads is in a call. Tests run in the order of their files' names, and this
// one must come before any that starts the pool: to a leak checker, the threads that a child inherits in name only are
// leaks.
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

TEST(pool_ends_in_order_while_a_thread_still_calls) {
  const pid_t child = ::fork();
  if (child == 0) {
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
