"""One call ahead, and many calls at once: on other threads, with none left behind."""

from __future__ import annotations

import _thread
import threading
import time
import types
from contextlib import closing

import pytest

from embedrt import _overlap
from embedrt._overlap import on_threads, overlapped

pytestmark = pytest.mark.usefixtures("threads_left")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_the_results_of_map(count: int) -> None:
    assert list(overlapped(lambda x: x * x, range(count))) == [x * x for x in range(count)]


def test_the_first_call_is_the_callers_and_the_others_are_not() -> None:
    callers = list(overlapped(lambda _: threading.get_ident(), range(4)))
    assert callers[0] == threading.get_ident()
    assert threading.get_ident() not in callers[1:]


def test_the_next_call_runs_while_its_predecessor_is_used() -> None:
    begun = [threading.Event() for _ in range(5)]
    with closing(overlapped(lambda x: begun[x].set() or x, range(5))) as results:
        for x in results:
            assert x == 4 or begun[x + 1].wait(10)


def test_never_more_than_one_ahead() -> None:
    begun: list[int] = []
    for x in overlapped(lambda x: begun.append(x) or x, range(6)):
        time.sleep(0.01)
        assert len(begun) <= x + 2


class Stop(BaseException):
    """Like what the tokenizers library raises when it panics: not an Exception."""


@pytest.mark.parametrize("bad", range(4))
def test_an_error_comes_where_its_result_would(bad: int) -> None:
    def work(x: int) -> int:
        if x == bad:
            raise Stop(x)
        return x

    seen: list[int] = []
    with pytest.raises(Stop, match=str(bad)):
        for x in overlapped(work, range(4)):
            seen.append(x)  # noqa: PERF402  (what came before the error is wanted)
    assert seen == list(range(bad))


@pytest.mark.parametrize("used", [1, 2, 3])
def test_closing_waits_for_the_call_that_is_ahead(used: int) -> None:
    ended: list[int] = []

    def work(x: int) -> int:
        time.sleep(0.02)
        ended.append(x)
        return x

    with closing(overlapped(work, range(10))) as results:
        for _ in range(used):
            next(results)
    assert ended == list(range(used + 1))


def test_the_callers_error_goes_before_that_of_the_call_ahead() -> None:
    def work(x: int) -> int:
        if x:
            raise ValueError("ahead")
        return x

    with pytest.raises(KeyError, match="caller"), closing(overlapped(work, range(3))) as results:
        for _ in results:
            raise KeyError("caller")


def test_without_a_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    callers = list(overlapped(lambda _: threading.get_ident(), range(4)))
    assert callers == [threading.get_ident()] * 4


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 5000])
def test_each_argument_once(count: int, threads: int) -> None:
    seen: list[int] = []
    on_threads(seen.append, range(count), threads)
    assert sorted(seen) == list(range(count))


def test_calls_run_together_and_the_calling_thread_takes_part() -> None:
    together = threading.Barrier(3, timeout=10)
    callers: list[int] = []

    def work(_: int) -> None:
        together.wait()
        callers.append(threading.get_ident())

    on_threads(work, range(3), 3)
    assert len(set(callers)) == 3 and threading.get_ident() in callers


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_when_all_have_ended(threads: int) -> None:
    ended: list[int] = []

    def work(x: int) -> None:
        time.sleep(0.01)
        if x == 1:
            raise Stop(x)
        ended.append(x)

    with pytest.raises(Stop, match="1"):
        on_threads(work, range(6), threads)
    assert len(ended) == (1 if threads == 1 else 5)


def test_many_calls_without_a_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    callers: list[int] = []
    on_threads(lambda _: callers.append(threading.get_ident()), range(4), 3)
    assert callers == [threading.get_ident()] * 4


class InterruptedLock:
    """Ctrl-C comes when the lock has just been taken, as it may once its thread has ended."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._taken = 0

    def acquire(self) -> None:
        assert self._lock.acquire(timeout=5), "waits for a thread that has ended"
        self._taken += 1
        if self._taken == 2:  # the first one is that of whoever made the lock
            raise KeyboardInterrupt

    def release(self) -> None:
        self._lock.release()


def test_an_interrupt_after_waiting_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = types.SimpleNamespace(allocate_lock=InterruptedLock, start_new_thread=_thread.start_new_thread)
    monkeypatch.setattr(_overlap, "_thread", threads)
    with pytest.raises(KeyboardInterrupt), closing(overlapped(lambda x: x, range(3))) as results:
        list(results)
