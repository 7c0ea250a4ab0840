"""Images per second of every contestant at every thread count, from pixels and from files."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_bench import child, harness
from embedrt_bench.engines import Contestant
from embedrt_bench.images import engines
from embedrt_bench.images.engines import ImageEncoder
from embedrt_bench.images.workloads import COUNT, Workload
from embedrt_bench.throughput import TURN_SECONDS, check_vectors, int8_peak, useful_batch_sizes

# Less than for texts: a peer's int8 model of EfficientNet-Lite0 comes to .88 of the same pictures.
_SAME_MODEL_COSINE = 0.8


def measure(
    contestants: Sequence[Contestant], workloads: Sequence[Workload], files: Sequence[Path], threads: int, rounds: int
) -> tuple[list[dict[str, Any]], float]:
    """One row for each workload, contestant and batch size; and the int8 multiply-adds a second that the CPU can do."""
    job = {
        "contestants": contestants,
        "workloads": workloads,
        "files": [str(file) for file in evenly(files, COUNT)],
        "threads": threads,
        "rounds": rounds,
    }
    answer = child.run("images.throughput", job, threads)
    return [harness.add_rates(row, "images", COUNT) for row in answer["rows"]], answer["int8_dot"]


def evenly(files: Sequence[Path], count: int) -> list[Path]:
    """So many of them, from all over the list."""
    return [files[number * len(files) // count] for number in range(count)]


def main() -> None:
    """The child process of one thread count: reads a job from stdin, writes the measurements to stdout."""
    print(json.dumps(run(json.load(sys.stdin))))


def run(job: dict[str, Any]) -> dict[str, Any]:
    """All contestants side by side in this process, workload by workload."""
    contestants = [Contestant(*fields) for fields in job["contestants"]]
    encoders = [engines.load(contestant, job["threads"]) for contestant in contestants]
    files = [Path(file).read_bytes() for file in job["files"]]
    prepared = [encoder.prepare(files) for encoder in encoders]
    before = int8_peak(job["threads"])
    rows = []
    for workload in (Workload(*fields) for fields in job["workloads"]):
        child.say(f"{workload.title}, threads: {job['threads']}")
        runs = {}
        vectors = {}
        for contestant, encoder, inputs in zip(contestants, encoders, prepared, strict=True):
            for batch_size in useful_batch_sizes(contestant.batch_sizes, workload.images):
                given = files if workload.files else inputs
                work = functools.partial(encode, encoder, given, workload, batch_size)
                vectors[contestant.name] = work()  # and a warm-up: arenas grow, pages are touched
                runs[contestant.name, batch_size] = work
        check_vectors(vectors, _SAME_MODEL_COSINE)
        for (name, batch_size), turns in harness.run_rounds(runs, job["rounds"], TURN_SECONDS).items():
            rows.append(
                {
                    "threads": job["threads"],
                    "workload": workload.name,
                    "contestant": name,
                    "batch_size": batch_size,
                    "seconds": [turn.wall for turn in turns],
                    "cpu_seconds": [turn.cpu for turn in turns],
                }
            )
    return {"rows": rows, "int8_dot": max(before, int8_peak(job["threads"]))}


def encode(encoder: ImageEncoder, given: Any, workload: Workload, batch_size: int) -> NDArray[np.float32]:
    """All the pictures, as many in one call as the workload says."""
    one = encoder.encode_files if workload.files else encoder.encode
    return np.concatenate(
        [one(given[start : start + workload.images], batch_size) for start in range(0, len(given), workload.images)]
    )
