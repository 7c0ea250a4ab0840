"""Work one step ahead: what comes next is made while the caller uses what came before."""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def overlapped(function: Callable[[Argument], Result], arguments: Iterable[Argument]) -> Generator[Result, None, None]:
    """`map(function, arguments)` in which each call but the first runs on another thread, one call ahead of the caller.

    No thread is started for a single argument, and none is left once the generator has ended or is closed. An exception
    of a call is raised where its result would have come.
    """
    following = iter(arguments)
    for first in following:
        result = function(first)
        for argument in following:
            call = _Call(function, argument)
            try:
                call.start()
                yield result
            finally:
                call.wait()
            result = call.result()
        yield result


def on_threads(function: Callable[[Argument], object], arguments: Sequence[Argument], threads: int) -> None:
    """Call `function` with each of `arguments`, on up to `threads` threads, the calling one among them.

    None is left when this returns. The first exception of a thread is raised, when all have ended.
    """
    following = deque(arguments)

    def work(_: None) -> None:
        # Threads may share a deque, also where the interpreter has no lock of its own; an iterator they may not.
        while following:
            try:
                argument = following.popleft()
            except IndexError:  # another thread was faster
                return
            function(argument)

    calls = [_Call(work, None) for _ in range(min(threads, len(arguments)) - 1)]
    try:
        for call in calls:
            call.start()
        work(None)
    finally:
        for call in calls:
            call.wait()
    for call in calls:
        call.result()


class _Call(Generic[Argument, Result]):
    """A call on a thread of its own; where the system has none to give, on the thread that asks for the result.

    Not a threading.Thread, whose start waits for the new thread and leaves it with the interpreter's lock, for some
    milliseconds in which the caller could begin to work.
    """

    def __init__(self, function: Callable[[Argument], Result], argument: Argument) -> None:
        self._function = function
        self._argument = argument
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._begun = self._ended = False
        self._running = _thread.allocate_lock()
        self._running.acquire()

    def start(self) -> None:
        # RuntimeError: no more threads, or the interpreter is ending.
        with suppress(RuntimeError):
            _thread.start_new_thread(self._run, ())
            self._begun = True

    def wait(self) -> None:
        """Returns when the thread has ended, also after Ctrl-C while waiting."""
        if not self._begun:
            return
        try:
            self._running.acquire()
        except KeyboardInterrupt:
            # Where it comes after the lock was taken, waiting again would never end.
            if not self._ended:
                self._running.acquire()
            raise

    def result(self) -> Result:
        if self._error:
            raise self._error
        return self._results[0] if self._begun else self._function(self._argument)

    def _run(self) -> None:
        try:
            self._results.append(self._function(self._argument))
        except BaseException as error:
            self._error = error
        finally:
            self._ended = True
            self._running.release()
