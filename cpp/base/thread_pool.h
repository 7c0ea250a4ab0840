// The one pool of threads that a process has for all its models. It starts no thread before the first call that wants
// one, sleeps when idle, and is replaced by a fresh one after fork.
#pragma once

#include <cstddef>

#include "base/function_ref.h"

namespace embedrt {

// Calls body(task, worker) once for each task in 0 … tasks − 1, on up to `threads` threads, and returns when all have
// returned.
//
// The calling thread takes part as worker 0; worker is below `threads` and no two running bodies of one call share it,
// so it indexes scratch memory that belongs to this call. Tasks are handed out in order, to whoever is free: which
// worker gets a task is not defined. The pool's threads run under FloatEnv; the caller sets its own.
//
// Several callers at once are allowed, also from inside a body: one of them has the pool's threads, the others do their
// tasks on their own thread. When a body throws, tasks that have not begun are abandoned and the first exception is
// rethrown here.
//
// `stop` is asked by the calling thread before each of its tasks. Once it says true, tasks that have not begun are
// abandoned. Returns whether every task was run.
bool parallel_for(unsigned threads, size_t tasks, FunctionRef<void(size_t task, unsigned worker)> body,
                  FunctionRef<bool()> stop);
bool parallel_for(unsigned threads, size_t tasks, FunctionRef<void(size_t task, unsigned worker)> body);

// Threads that the pool of this process has now, without the callers': for tests and `inspect`.
unsigned pool_threads();

}  // namespace embedrt
