#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#ifdef _WIN32
#include "base/windows_api.h"
#else
#include <pthread.h>
#include <signal.h>
#endif

#include "base/error.h"
#include "base/float_env.h"

namespace embedrt {
namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr auto kSpinTime = std::chrono::microseconds(50);

void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as `ready` is; false when it has not become so for the time that spinning is worth.
template <class Ready>
bool spin_until(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

#ifdef _WIN32
// The threads of the pool run this library's code until the process ends, and a library that is being unloaded cannot
// join them: a thread needs the loader's lock to end, which the unloading one holds. So it stays from here on.
void keep_loaded() {
  HMODULE self = nullptr;
  constexpr DWORD kFlags = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
  GetModuleHandleExW(kFlags, reinterpret_cast<LPCWSTR>(&keep_loaded), &self);
}
#endif

// One call of parallel_for, shared by the threads that work on it.
struct Job {
  size_t tasks;
  FunctionRef<void(size_t, unsigned)> body;
  std::atomic<size_t> next{0};
  std::atomic<bool> abandoned{false};
  std::atomic<bool> failed{false};
  std::exception_ptr error{};  // written by the thread that sets `failed`, read when all threads have left

  void fail() noexcept {
    if (!failed.exchange(true)) error = std::current_exception();
    abandoned.store(true);
  }

  // Works until nothing is left to begin. `stop` is asked before each task.
  template <class Stop>
  void work(unsigned worker, Stop stop) noexcept {
    try {
      while (!abandoned.load(std::memory_order_relaxed)) {
        if (next.load(std::memory_order_relaxed) >= tasks) return;
        if (stop()) {
          abandoned.store(true);
          return;
        }
        const size_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks) return;
        body(task, worker);
      }
    } catch (...) {
      fail();
    }
  }
};

// Counts the forks above this process: a call that finds it changed has lost the threads it was waiting for.
std::atomic<unsigned> fork_generation{0};

class Pool {
 public:
  // The threads belong to one call at a time; who does not get them works alone.
  bool try_acquire() noexcept { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() noexcept { busy_.store(false, std::memory_order_release); }

  void run(Job& job, unsigned threads, FunctionRef<bool()> stop);
  void join() noexcept;
  unsigned size() const noexcept { return size_.load(std::memory_order_relaxed); }

  Pool* inherited = nullptr;  // see after_fork

 private:
  // The gate is one word: generation (32 bits), open (1), highest worker that may enter (15), workers inside (16).
  // Workers enter while it is open, so that a call that is over before a sleeper woke does not wait for it.
  static constexpr uint64_t kOpen = uint64_t{1} << 31;
  static uint64_t generation(uint64_t gate) { return gate >> 32; }
  static unsigned limit(uint64_t gate) { return static_cast<unsigned>(gate >> 16) & 0x7FFF; }
  static unsigned inside(uint64_t gate) { return static_cast<unsigned>(gate) & 0xFFFF; }

  void grow(unsigned workers);
  void worker_main(unsigned worker) noexcept;
  bool enter(uint64_t gate, unsigned worker) noexcept;
  void leave() noexcept;
  uint64_t wait_for_gate(uint64_t seen) noexcept;
  void wait_until_empty() noexcept;

  std::atomic<bool> busy_{false};
  std::atomic<uint64_t> gate_{0};
  std::atomic<unsigned> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  std::atomic<bool> ending_{false};
  std::atomic<unsigned> size_{0};
  Job* job_ = nullptr;  // written while the gate is closed and nobody is inside
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable empty_;
  std::vector<std::thread> threads_;
};

void Pool::run(Job& job, unsigned threads, FunctionRef<bool()> stop) {
  grow(threads - 1);
  const unsigned workers = std::min<unsigned>(threads - 1, size());
  const unsigned forks = fork_generation.load();
  job_ = &job;
  const uint64_t next_generation = (generation(gate_.load()) + 1) << 32;
  gate_.store(next_generation | kOpen | uint64_t{workers} << 16);
  if (sleepers_.load() > 0) {
    // A sleeper counts itself, then looks at the gate, both under the mutex: it has either seen the new gate or is
    // waiting.
    {
      const std::lock_guard lock(mutex_);
    }
    wake_.notify_all();
  }
  job.work(0, stop);
  if (fork_generation.load() != forks)
    throw Error("the process was forked by a task; the child cannot go on with the call");
  gate_.fetch_and(~kOpen);
  wait_until_empty();
}

void Pool::grow(unsigned workers) {
  if (threads_.size() >= workers || ending_.load()) return;
#ifdef _WIN32
  keep_loaded();
#else
  // Signals belong to the application's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
  try {
    threads_.reserve(workers);
    while (threads_.size() < workers) {
      const auto worker = static_cast<unsigned>(threads_.size() + 1);
      threads_.emplace_back([this, worker] { worker_main(worker); });
    }
  } catch (const std::exception&) {
    // The system has no more threads (or memory) to give: go on with what there is.
  }
#ifndef _WIN32
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
  size_.store(static_cast<unsigned>(threads_.size()));
}

void Pool::worker_main(unsigned worker) noexcept {
  const FloatEnv float_env;
  uint64_t seen = 0;
  for (;;) {
    const uint64_t gate = wait_for_gate(seen);
    if (ending_.load()) return;
    seen = generation(gate);
    if (!enter(gate, worker)) continue;
    job_->work(worker, [] { return false; });
    leave();
  }
}

bool Pool::enter(uint64_t gate, unsigned worker) noexcept {
  const uint64_t wanted = generation(gate);
  while ((gate & kOpen) != 0 && generation(gate) == wanted && worker <= limit(gate)) {
    if (gate_.compare_exchange_weak(gate, gate + 1)) return true;
  }
  return false;
}

void Pool::leave() noexcept {
  const uint64_t gate = gate_.fetch_sub(1) - 1;
  if (inside(gate) == 0 && caller_sleeps_.load()) {
    {
      const std::lock_guard lock(mutex_);
    }
    empty_.notify_one();
  }
}

// Returns the gate once it is of another generation than `seen`.
uint64_t Pool::wait_for_gate(uint64_t seen) noexcept {
  uint64_t gate = 0;
  const auto changed = [&] { return generation(gate = gate_.load()) != seen || ending_.load(); };
  if (spin_until(changed)) return gate;
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, changed);
  sleepers_.fetch_sub(1);
  return gate;
}

void Pool::wait_until_empty() noexcept {
  const auto empty = [&] { return inside(gate_.load()) == 0; };
  if (spin_until(empty)) return;
  std::unique_lock lock(mutex_);
  caller_sleeps_.store(true);
  empty_.wait(lock, empty);
  caller_sleeps_.store(false);
}

// The pool of this process. It is never destroyed, so that threads that outlive static destruction may still call; it
// is replaced in the child of a fork, where its threads do not exist and its locks may be held by nobody.
std::atomic<Pool*> process_pool{nullptr};

#ifndef _WIN32
std::atomic<Pool*> inherited_pools{nullptr};  // reachable for leak checkers, otherwise unused

void Pool::join() noexcept {
  {
    const std::lock_guard lock(mutex_);
    ending_.store(true);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  size_.store(0);
}

void after_fork() {
  fork_generation.fetch_add(1);
  if (Pool* pool = process_pool.exchange(nullptr)) {
    pool->inherited = inherited_pools.load();
    inherited_pools.store(pool);
  }
}

// Joins the pool's threads when the process ends in order, or the library is unloaded. While another thread is still in
// a call they are left alone. Windows ends the threads of a process by itself, and see keep_loaded.
struct AtExit {
  AtExit() { pthread_atfork(nullptr, nullptr, after_fork); }
  ~AtExit() {
    Pool* pool = process_pool.load();
    if (pool != nullptr && pool->try_acquire()) pool->join();  // and stays acquired: later calls work alone
  }
};

const AtExit at_exit;
#endif

Pool& the_pool() {
  if (Pool* pool = process_pool.load()) return *pool;
  auto fresh = std::make_unique<Pool>();
  Pool* pool = nullptr;
  if (process_pool.compare_exchange_strong(pool, fresh.get())) pool = fresh.release();
  return *pool;
}

}  // namespace

bool parallel_for(unsigned threads, size_t tasks, FunctionRef<void(size_t, unsigned)> body, FunctionRef<bool()> stop) {
  Job job{tasks, body};
  const auto wanted = static_cast<unsigned>(std::min<size_t>(std::min(threads, kMaxThreads), tasks));
  Pool* pool = wanted > 1 ? &the_pool() : nullptr;
  if (pool != nullptr && pool->try_acquire()) {
    const std::unique_ptr<Pool, void (*)(Pool*)> held(pool, [](Pool* p) { p->release(); });
    pool->run(job, wanted, stop);
  } else {
    job.work(0, stop);
  }
  if (job.error) std::rethrow_exception(job.error);
  return job.next.load() >= tasks;
}

bool parallel_for(unsigned threads, size_t tasks, FunctionRef<void(size_t, unsigned)> body) {
  const auto never = [] { return false; };
  return parallel_for(threads, tasks, body, never);
}

unsigned pool_threads() {
  const Pool* pool = process_pool.load();
  return pool == nullptr ? 0 : pool->size();
}

}  // namespace embedrt
