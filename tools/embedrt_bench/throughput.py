"""Tokens per second and milliseconds per query, of every contestant at every thread count."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_bench import child, engines, harness
from embedrt_bench.engines import Contestant, Encoder
from embedrt_bench.workloads import Workload

# A turn is at least this long, so that a clock tick or one interrupt does not decide.
TURN_SECONDS = 0.3
# Vectors of the same text by two engines are this close at least, or one of them computes something else.
_SAME_MODEL_COSINE = 0.9


def measure(
    contestants: Sequence[Contestant], workloads: Sequence[Workload], threads: int, rounds: int, max_tokens: int
) -> tuple[list[dict[str, Any]], float]:
    """One row for each workload, contestant and batch size; and the int8 multiply-adds a second that the CPU can do."""
    job = {
        "contestants": contestants,
        "workloads": [{"name": w.name, "title": w.title, "texts": w.texts} for w in workloads],
        "threads": threads,
        "rounds": rounds,
        "max_tokens": max_tokens,
    }
    tokens = {workload.name: sum(workload.tokens) for workload in workloads}
    # A process of its own for each thread count: thread pools cannot be resized, and one that idles may still spin.
    answer = child.run("throughput", job, threads)
    return [harness.add_rates(row, "tokens", tokens[row["workload"]]) for row in answer["rows"]], answer["int8_dot"]


def main() -> None:
    """The child process of one thread count: reads a job from stdin, writes the measurements to stdout."""
    print(json.dumps(run(json.load(sys.stdin))))


def run(job: dict[str, Any]) -> dict[str, Any]:
    """All contestants side by side in this process, workload by workload."""
    contestants = [Contestant(*fields) for fields in job["contestants"]]
    encoders = [engines.load(contestant, job["threads"], job["max_tokens"]) for contestant in contestants]
    rows = []
    before = int8_peak(job["threads"])
    for workload in job["workloads"]:
        child.say(f"{workload['title']}, threads: {job['threads']}")
        check_agreement(contestants, encoders, workload["texts"])
        runs = {}
        for contestant, encoder in zip(contestants, encoders, strict=True):
            for batch_size in useful_batch_sizes(contestant.batch_sizes, len(workload["texts"])):
                work = functools.partial(encoder.encode, workload["texts"], batch_size)
                work()  # warm-up: arenas grow, pages are touched
                runs[contestant.name, batch_size] = work
        for (name, batch_size), turns in harness.run_rounds(runs, job["rounds"], TURN_SECONDS).items():
            rows.append(
                {
                    "threads": job["threads"],
                    "workload": workload["name"],
                    "contestant": name,
                    "batch_size": batch_size,
                    "seconds": [turn.wall for turn in turns],
                    "cpu_seconds": [turn.cpu for turn in turns],
                }
            )
    return {"rows": rows, "int8_dot": max(before, int8_peak(job["threads"]))}


def int8_peak(threads: int) -> float:
    """Multiply-adds of bytes a second, of the instruction alone: the conditions are those of the turns."""
    harness.wait_until_idle()
    return _core.peak("int8_dot", threads, TURN_SECONDS)


def useful_batch_sizes(batch_sizes: Sequence[int], texts: int) -> list[int]:
    """Those batch sizes, ascending, without any that makes the same single batch as a smaller one."""
    sizes = sorted(batch_sizes)
    return [size for i, size in enumerate(sizes) if i == 0 or sizes[i - 1] < texts]


def check_agreement(contestants: Sequence[Contestant], encoders: Sequence[Encoder], texts: Sequence[str]) -> None:
    """Raises RuntimeError unless every contestant sees the same token ids and gives nearly the same vectors."""
    ids = encoders[0].token_ids(texts)
    for contestant, encoder in zip(contestants[1:], encoders[1:], strict=True):
        if encoder.token_ids(texts) != ids:
            raise RuntimeError(f"{contestant.name} sees other token ids than {contestants[0].name}")
    some = texts[:16]
    check_vectors(
        {c.name: encoder.encode(some, c.batch_sizes[0]) for c, encoder in zip(contestants, encoders, strict=True)},
        _SAME_MODEL_COSINE,
    )


def check_vectors(vectors: Mapping[str, NDArray[np.float32]], least: float) -> None:
    """Raises RuntimeError unless every contestant's vectors [n, d] have cosines above `least` with the first's."""
    (name, first), *others = vectors.items()
    for other_name, other in others:
        products = np.sum(first * other, axis=1)
        cosines = products / (np.linalg.norm(first, axis=1) * np.linalg.norm(other, axis=1))
        if not float(cosines.min()) > least:
            raise RuntimeError(f"{other_name} and {name} differ: cosine {cosines.min():.4f}")
