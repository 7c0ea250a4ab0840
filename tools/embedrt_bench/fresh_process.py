"""A fresh process: one engine, from nothing to its first vector, and on request 10,000 texts more.

Its imports are part of what is measured, so there are few.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
from typing import Any

from embedrt_bench import engines
from embedrt_bench.engines import Contestant, Encoder

IDLE_SECONDS = 2.0


def main() -> None:
    """Reads a job from stdin, writes the measurements to stdout; see fresh.py."""
    job = json.load(sys.stdin)
    contestant = Contestant(*job["contestant"])
    encoder = engines.load(contestant, job["threads"], job["max_tokens"])
    encoder.encode([job["query"]], contestant.batch_sizes[0])
    # CLOCK_MONOTONIC is the system's: the parent subtracts the time at which it started this process.
    result: dict[str, Any] = {"ready": time.monotonic(), "peak_rss": peak_rss()}
    if job["texts"]:
        result["growth"] = growth(encoder, contestant.batch_sizes[-1], job["texts"], job["calls"])
        result["growth"]["idle_cpu_seconds"] = idle_cpu(encoder, job["query"])
    print(json.dumps(result))


def growth(encoder: Encoder, batch_size: int, texts: list[str], calls: list[list[int]]) -> dict[str, Any]:
    """Resident bytes after a warm-up over `texts`, and after `calls` more, each encoding the texts of those numbers."""
    encoder.encode(texts, batch_size)
    encoder.encode(texts[:1], batch_size)
    before = resident()
    for call in calls:
        encoder.encode([texts[i] for i in call], batch_size)
    return {"texts": sum(map(len, calls)), "before": before, "after": resident(), "peak_rss": peak_rss()}


def idle_cpu(encoder: Encoder, query: str) -> float:
    """CPU seconds of this process, all its threads, in the `IDLE_SECONDS` after one query."""
    encoder.encode([query], 1)
    before = time.process_time()
    time.sleep(IDLE_SECONDS)
    return time.process_time() - before


def peak_rss() -> int:
    """The most bytes that were resident so far; Linux only."""
    # Not getrusage's ru_maxrss: at its start that of a child is its parent's.
    return _status("VmHWM")


def resident() -> int:
    """Bytes resident now; Linux only."""
    return _status("VmRSS")


def _status(field: str) -> int:
    """A size in bytes from the kernel's account of this process."""
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise RuntimeError(f"/proc/self/status has no {field}")
