"""Fidelity: how close each contestant's vectors are to the float32 model's, and whether pairs still rank alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_bench import child, engines
from embedrt_bench.engines import Contestant
from embedrt_bench.texts import Corpus


def measure(
    contestants: Sequence[Contestant], reference: Contestant, corpus: Corpus, threads: int, max_tokens: int
) -> list[dict[str, Any]]:
    """One row for each contestant, and one for the reference, whose cosines are left out."""
    job = {
        "contestants": [reference, *contestants],
        "sentences": corpus.sentences,
        "scores": [score for _, _, score in corpus.pairs],
        "threads": threads,
        "max_tokens": max_tokens,
    }
    rows: list[dict[str, Any]] = child.run("quality", job, threads)
    return rows


def main() -> None:
    """The child process: reads a job from stdin, writes the rows to stdout."""
    print(json.dumps(run(json.load(sys.stdin))))


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    reference = None
    for fields in job["contestants"]:
        contestant = Contestant(*fields)
        child.say(f"fidelity of {contestant.name}")
        encoder = engines.load(contestant, job["threads"], job["max_tokens"])
        vectors = unit(encoder.encode(job["sentences"], contestant.batch_sizes[0]))
        row: dict[str, Any] = {"contestant": contestant.name, "sentences": len(vectors)}
        if reference is None:
            reference = vectors
        else:
            cosines = np.sum(vectors * reference, axis=1)
            row |= {"cosine_mean": float(cosines.mean()), "cosine_worst": float(cosines.min())}
        if job["scores"]:
            # Sentences 2i and 2i + 1 are a pair.
            similarity = np.sum(vectors[0::2] * vectors[1::2], axis=1)
            row["spearman"] = spearman(similarity, np.array(job["scores"]))
        rows.append(row)
    return rows


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The vectors in double precision, scaled to length one."""
    wide = vectors.astype(np.float64)
    scaled: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return scaled


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = np.cumsum(sizes) - (sizes - 1) / 2
    return means[group]
