"""Fidelity: how close each contestant's vectors of the measured pictures' files are to the float32 network's."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embedrt_bench import child
from embedrt_bench.engines import Contestant
from embedrt_bench.images import engines
from embedrt_bench.quality import unit


def measure(
    contestants: Sequence[Contestant], reference: Contestant, files: Sequence[Path], threads: int
) -> list[dict[str, Any]]:
    """One row for each contestant."""
    job = {"contestants": [reference, *contestants], "files": [str(file) for file in files], "threads": threads}
    rows: list[dict[str, Any]] = child.run("images.fidelity", job, threads)
    return rows


def main() -> None:
    """The child process: reads a job from stdin, writes the rows to stdout."""
    print(json.dumps(run(json.load(sys.stdin))))


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    files = [Path(file).read_bytes() for file in job["files"]]
    rows: list[dict[str, Any]] = []
    reference = None
    for fields in job["contestants"]:
        contestant = Contestant(*fields)
        child.say(f"fidelity of {contestant.name}")
        vectors = unit(engines.load(contestant, job["threads"]).encode_files(files, contestant.batch_sizes[-1]))
        if reference is None:
            reference = vectors
            continue
        cosines = np.sum(vectors * reference, axis=1)
        rows.append(
            {
                "contestant": contestant.name,
                "images": len(files),
                "cosine_mean": float(cosines.mean()),
                "cosine_worst": float(cosines.min()),
            }
        )
    return rows
