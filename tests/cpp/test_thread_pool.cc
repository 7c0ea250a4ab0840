#include <atomic>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "base/error.h"
#include "base/float_env.h"
#include "base/thread_pool.h"
#include "check.h"
#include "cpu_time.h"

using embedrt::parallel_for;
using namespace std::chrono_literals;

namespace {

// Every task once, every worker id in range and held by one body at a time.
bool covers(unsigned threads, size_t tasks) {
  std::vector<std::atomic<int>> runs(tasks), holders(threads);
  std::atomic<bool> good{true};
  const bool complete = parallel_for(threads, tasks, [&](size_t task, unsigned worker) {
    if (worker >= threads || holders[worker].fetch_add(1) != 0) good = false;
    runs[task].fetch_add(1);
    if (worker < threads) holders[worker].fetch_sub(1);
  });
  for (const auto& count : runs) good = good && count == 1;
  return good && complete;
}

}  // namespace

TEST(pool_runs_every_task_once) {
  for (const unsigned threads : {1u, 2u, 3u, 8u}) {
    for (const size_t tasks : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) CHECK(covers(threads, tasks));
  }
  CHECK(embedrt::pool_threads() == 7);
}

TEST(pool_hammered_by_short_jobs) {
  size_t done = 0;
  for (int i = 0; i < 20000; ++i) {
    std::atomic<size_t> sum{0};
    parallel_for(3, 4, [&](size_t task, unsigned) { sum += task + 1; });
    done += sum == 10;
    if (i % 1000 == 0) std::this_thread::sleep_for(200us);  // long enough for the workers to fall asleep
  }
  CHECK(done == 20000);
}

TEST(pool_several_callers_and_nested_calls) {
  std::atomic<size_t> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        parallel_for(4, 8, [&](size_t, unsigned) {
          parallel_for(4, 3, [&](size_t task, unsigned worker) { sum += worker < 4 ? task : 1000000; });
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == size_t{6 * 300 * 8 * 3});
}

TEST(pool_rethrows_and_abandons) {
  for (const unsigned threads : {1u, 4u}) {
    std::atomic<size_t> ran{0};
    CHECK_THROWS(std::out_of_range, "task 5", parallel_for(threads, 1u << 30, [&](size_t task, unsigned) {
                   ++ran;
                   if (task == 5) throw std::out_of_range("task 5");
                   std::this_thread::sleep_for(10us);
                 }));
    CHECK(ran < 100000);
    CHECK(covers(threads, 100));  // and works afterwards
  }
  CHECK_THROWS(std::runtime_error, "all",
               parallel_for(8, 100, [](size_t, unsigned) { throw std::runtime_error("all"); }));
}

TEST(pool_stops_when_asked) {
  for (const unsigned threads : {1u, 3u}) {
    std::atomic<size_t> ran{0};
    int asked = 0;
    const auto stop = [&] { return ++asked > 3; };
    const auto body = [&](size_t, unsigned) {
      ++ran;
      std::this_thread::sleep_for(100us);
    };
    CHECK(!parallel_for(threads, 1000000, body, stop));
    CHECK(ran >= 3 && ran < 10000);
    CHECK(asked == 4);
    const auto throwing = []() -> bool { throw embedrt::InputError("interrupted"); };
    CHECK_THROWS(embedrt::InputError, "interrupted", parallel_for(threads, 1000000, body, throwing));
  }
}

TEST(pool_sleeps_when_idle) {
  CHECK(covers(4, 100));
  std::this_thread::sleep_for(20ms);
  const double before = embedrt::test::cpu_seconds();
  std::this_thread::sleep_for(200ms);
  CHECK(embedrt::test::cpu_seconds() - before < 0.02);
}

TEST(pool_threads_have_the_canonical_float_environment) {
#if defined(__SSE__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040 | 0x6000 | 0x20);  // FTZ, DAZ, towards zero, and a sticky flag
  const unsigned odd = _mm_getcsr();
  std::atomic<int> wrong{0};
  {
    const embedrt::FloatEnv guard;
    CHECK((_mm_getcsr() & 0xFFC0) == 0x1F80);
    parallel_for(4, 64, [&](size_t, unsigned) {
      volatile float tiny = 1e-38f, third = 3.0f;
      wrong += (_mm_getcsr() & 0xFFC0) != 0x1F80 || tiny / third == 0.0f;
      std::this_thread::sleep_for(100us);
    });
  }
  CHECK(wrong == 0);
  CHECK(_mm_getcsr() == odd);
  _mm_setcsr(before);
#endif
}

#ifndef _WIN32

namespace {

// Exit status of a child that runs `body`; −1 when it did not end in order.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // a deadlock ends as a failure
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST(pool_is_fresh_after_fork) {
  CHECK(covers(4, 100));
  const auto child = [] {
    if (embedrt::pool_threads() != 0) return 1;
    if (!covers(4, 1000)) return 2;
    return in_child([] { return covers(3, 100) ? 0 : 4; });
  };
  CHECK(in_child(child) == 0);

  // Forks while other threads are in the middle of calls.
  std::atomic<bool> ending{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      while (!ending) parallel_for(3, 5, [](size_t, unsigned) { std::this_thread::yield(); });
    });
  }
  int good = 0;
  for (int i = 0; i < 50; ++i) good += in_child([] { return covers(3, 50) ? 0 : 1; }) == 0;
  ending = true;
  for (std::thread& caller : callers) caller.join();
  CHECK(good == 50);
  CHECK(covers(4, 100));
}

TEST(pool_fork_inside_a_task_does_not_hang) {
  const int status = in_child([] {
    std::string message;
    try {
      std::atomic<bool> other_runs{false};
      parallel_for(2, 2, [&](size_t, unsigned worker) {
        if (worker == 1) {
          other_runs = true;
          std::this_thread::sleep_for(50ms);
          return;
        }
        for (int i = 0; i < 1000 && !other_runs; ++i) std::this_thread::sleep_for(1ms);
        const pid_t child = ::fork();
        if (child == 0) return;
        int child_status = 1;
        ::waitpid(child, &child_status, 0);
        if (!WIFEXITED(child_status) || WEXITSTATUS(child_status) != 7) throw embedrt::InputError("child went on");
      });
    } catch (const embedrt::Error& error) {
      message = error.what();
    }
    return message.find("forked") != std::string::npos ? 7 : message.empty() ? 0 : 1;
  });
  CHECK(status == 0);
}

#endif
