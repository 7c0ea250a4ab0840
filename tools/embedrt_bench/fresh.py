"""Cold start and memory, each in a process that has one engine and nothing else in it."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from embedrt_bench import child
from embedrt_bench.engines import Contestant

GROWTH_TEXTS = 10_000
_CALL_SIZES = (1, 1, 2, 4, 8, 16, 64)  # texts a call, drawn at random
_SEED = 20240229


def measure_starts(
    contestants: Sequence[Contestant], query: str, threads: int, rounds: int, max_tokens: int
) -> list[dict[str, Any]]:
    """Milliseconds from starting the process to its first vector, and the peak of its resident bytes by then."""
    times: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    peaks: dict[str, list[int]] = {contestant.name: [] for contestant in contestants}
    # One round more than asked for: the first reads the files from disk and compiles the sources.
    for number in range(rounds + 1):
        for contestant in contestants:
            start = time.monotonic()
            answer = _run(contestant, query, threads, max_tokens)
            if number > 0:
                times[contestant.name].append(1e3 * (answer["ready"] - start))
                peaks[contestant.name].append(answer["peak_rss"])
    return [
        {
            "contestant": contestant.name,
            "threads": threads,
            "milliseconds": times[contestant.name],
            "best_milliseconds": min(times[contestant.name]),
            "median_milliseconds": median(times[contestant.name]),
            "peak_rss_bytes": int(median(peaks[contestant.name])),
            "file_bytes": model_bytes(Path(contestant.model)),
        }
        for contestant in contestants
    ]


def model_bytes(model: Path) -> int:
    """The size of a model's file, or of its folder's files together."""
    return sum(file.stat().st_size for file in (model.iterdir() if model.is_dir() else [model]))


def measure_stages(model: str, query: str, threads: int, rounds: int) -> dict[str, float]:
    """Least milliseconds of each stage of embedrt's own start, in order; not the stages of one and the same start."""
    child.say("stages of a start")
    starts = []
    # As above, the first round only warms up.
    for _ in range(rounds + 1):
        job = {"model": model, "query": query, "threads": threads, "started": time.monotonic()}
        starts.append(child.run("start_stages", job, threads))
    return {stage: min(start[stage] for start in starts[1:]) for stage in starts[0]}


def measure_growth(
    contestants: Sequence[Contestant], texts: Sequence[str], threads: int, max_tokens: int
) -> list[dict[str, Any]]:
    """Resident bytes before and after 10,000 of `texts` in calls of many sizes, after a warm-up over all of them.

    And the CPU time that an idle process takes afterwards.
    """
    calls = draw_calls(len(texts), GROWTH_TEXTS)
    rows = []
    for contestant in contestants:
        child.say(f"memory of {contestant.name} over {GROWTH_TEXTS:,} texts")
        answer = _run(contestant, texts[0], threads, max_tokens, texts, calls)["growth"]
        rows.append({"contestant": contestant.name, "threads": threads, **answer})
    return rows


def draw_calls(texts: int, total: int) -> list[list[int]]:
    """Calls of random sizes, each a list of text numbers below `texts`, `total` numbers together; always the same."""
    source = random.Random(_SEED)
    calls = []
    while total > 0:
        size = min(total, source.choice(_CALL_SIZES))
        calls.append([source.randrange(texts) for _ in range(size)])
        total -= size
    return calls


def _run(
    contestant: Contestant,
    query: str,
    threads: int,
    max_tokens: int,
    texts: Sequence[str] = (),
    calls: Sequence[Sequence[int]] = (),
) -> dict[str, Any]:
    job = {
        "contestant": contestant,
        "query": query,
        "threads": threads,
        "max_tokens": max_tokens,
        "texts": list(texts),
        "calls": calls,
    }
    answer: dict[str, Any] = child.run("fresh_process", job, threads)
    return answer
