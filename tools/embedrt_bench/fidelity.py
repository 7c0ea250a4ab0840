"""What a conversion costs on pairs of sentences: one model file beside another of the same checkpoint.

    python -m embedrt_bench.fidelity MODEL.embedrt REFERENCE.embedrt --pairs stsb-de-dev.csv --prompt "query: "

A file of pairs is CSV without a header: sentence, sentence, similarity.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import embedrt
from embedrt_bench import child, report
from embedrt_bench.errors import BenchError
from embedrt_bench.quality import spearman, unit


def measure(model: str, reference: str, pairs: Sequence[Path], prompt: str = "") -> list[report.Row]:
    """A row for each file of pairs: its `name`, the number of `pairs`, `spearman` and `reference_spearman`, and of the
    vectors of both `cosine_mean` and `cosine_worst`. Raises BenchError for a file that holds no such pairs.
    """
    models = [embedrt.load(path) for path in (reference, model)]
    rows = []
    for path in pairs:
        child.say(f"fidelity on {path.name}")
        first, second, scores = read(path)
        expected, found = (unit(np.asarray(one.encode(first + second, prompt=prompt))) for one in models)
        half = len(first)
        cosines = np.sum(expected * found, axis=1)
        ranks = [spearman(np.sum(each[:half] * each[half:], axis=1), scores) for each in (expected, found)]
        rows.append(
            {
                "name": path.name,
                "pairs": half,
                "reference_spearman": ranks[0],
                "spearman": ranks[1],
                "cosine_mean": float(cosines.mean()),
                "cosine_worst": float(cosines.min()),
            }
        )
    return rows


def read(path: Path) -> tuple[list[str], list[str], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """First sentences, second sentences and similarities. Raises BenchError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(first, second, float(score)) for first, second, score in csv.reader(file)]
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} is no CSV of sentence, sentence, similarity: {error}") from error
    if len(rows) < 2:
        raise BenchError(f"{path} has {len(rows)} pairs: ranks need two at least")
    return [row[0] for row in rows], [row[1] for row in rows], np.array([row[2] for row in rows])


def markdown(rows: Sequence[report.Row]) -> str:
    """The table of what `measure` gave."""
    return report.table(
        ["pairs", "number", "Spearman", "of the reference", "cosine, mean", "worst"],
        [
            [
                row["name"],
                f"{row['pairs']:,}",
                *(f"{row[name]:.4f}" for name in ("spearman", "reference_spearman")),
                *(f"{row[name]:.5f}" for name in ("cosine_mean", "cosine_worst")),
            ]
            for row in rows
        ],
    )


def command(arguments: Sequence[str] | None = None) -> None:
    """What `python -m embedrt_bench.fidelity` does."""
    parser = argparse.ArgumentParser(
        prog="python -m embedrt_bench.fidelity", description="Compare the vectors of two files of one model."
    )
    parser.add_argument("model", metavar="MODEL", help="an .embedrt file")
    parser.add_argument("reference", metavar="REFERENCE", help="the .embedrt file to compare with, such as one of fp32")
    parser.add_argument("--pairs", metavar="FILE", type=Path, nargs="+", required=True, help="CSV files of pairs")
    parser.add_argument("--prompt", default="", help="goes before every sentence, such as 'query: '")
    args = parser.parse_args(arguments)
    print(markdown(measure(args.model, args.reference, args.pairs, args.prompt)))


if __name__ == "__main__":
    command()
