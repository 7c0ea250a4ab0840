"""Timing: rounds in which every contestant has its turn, and the arithmetic on what they gave."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Clock = Callable[[], float]


class Sample(NamedTuple):
    """One turn: seconds for one pass over the workload, averaged over the turn's passes."""

    wall: float
    cpu: float  # of all threads of the process


class Summary(NamedTuple):
    best: float  # seconds
    median: float  # seconds
    threads: float  # CPU seconds for each second of the best turn: how many threads really worked


def turn(work: Callable[[], object], seconds: float, wall: Clock, cpu: Clock) -> Sample:
    """Repeats `work` until `seconds` have passed, once at least."""
    passes = 0
    wall_start, cpu_start = wall(), cpu()
    while True:
        work()
        passes += 1
        elapsed = wall() - wall_start
        if elapsed >= seconds:
            return Sample(elapsed / passes, (cpu() - cpu_start) / passes)


def run_rounds(
    contestants: Mapping[Key, Callable[[], object]],
    rounds: int,
    seconds: float,
    *,
    wall: Clock = time.perf_counter,
    cpu: Clock = time.process_time,
    settle: Callable[[], None] | None = None,
) -> dict[Key, list[Sample]]:
    """One turn each in every round, of at least `seconds`.

    Every other round goes backwards, so that nobody always follows the same other. `settle` is called before every
    turn; without one it is `wait_until_idle`. Nothing is warmed up here.
    """
    samples: dict[Key, list[Sample]] = {key: [] for key in contestants}
    for number in range(rounds):
        order = list(contestants)
        for key in reversed(order) if number % 2 else order:
            (settle or wait_until_idle)()
            samples[key].append(turn(contestants[key], seconds, wall, cpu))
    return samples


def summarise(samples: list[Sample]) -> Summary:
    best = min(samples)
    return Summary(best.wall, median(sample.wall for sample in samples), best.cpu / best.wall)


def wait_until_idle(limit: float = 2.0) -> None:
    """Waits until no thread of this process works, `limit` seconds at most.

    Thread pools may spin for a while after their last task (ONNX Runtime's: about 20 ms) and would take the CPU from
    whoever is measured next.
    """
    interval = 0.01
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(interval)
        if time.process_time() - before < 0.1 * interval:
            return


def add_rates(row: dict[str, Any], unit: str, count: int) -> dict[str, Any]:
    """A row of "seconds" and "cpu_seconds" with its best and median, `count` units a second at both, and the threads.

    "busy_threads" is how many really worked.
    """
    summary = summarise([Sample(*turn) for turn in zip(row["seconds"], row["cpu_seconds"], strict=True)])
    return {
        **row,
        "best_seconds": summary.best,
        "median_seconds": summary.median,
        f"{unit}_per_second": count / summary.best,
        f"median_{unit}_per_second": count / summary.median,
        "busy_threads": summary.threads,
    }
