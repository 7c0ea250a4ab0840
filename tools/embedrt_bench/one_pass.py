"""Several outputs in one pass beside a pass for each: a dense vector, token weights and token vectors of one encoder.

    python -m embedrt_bench.one_pass [--layers 24] [--threads 1,2] [--rounds 5]

The encoder has the shape of bge-m3 (XLM-RoBERTa, 24 layers of 1,024) and random weights; its vocabulary is small, since
what a word's row costs does not depend on how many there are.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedrt import _core
from embedrt_bench import child, harness, machine, report
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program
from embedrt_convert.quantize import quantize

OUTPUTS = ("sentence_embedding", "token_weights", "multi_vector_embedding")
WORKLOADS = {"a text of 16 tokens": [16], "16 texts of 128 tokens": [128] * 16}
_VOCABULARY, _HIDDEN, _HEADS, _INNER = 1000, 1024, 16, 4096
_TURN_SECONDS = 0.3


def encoder(layers: int) -> Program:
    """The float program: embeddings, layers as BERT has them, and the three heads."""
    random = np.random.default_rng(0)
    made = Program(_VOCABULARY, 512)

    def linear(x: int, n: int, k: int, *residual: int, activation: str = "none") -> int:
        weight = random.standard_normal((n, k), np.float32) * np.float32(0.02)
        bias = np.zeros(n, np.float32)
        return made.op("linear", x, *residual, name="linear", weight=weight, bias=bias, activation=activation)

    def norm(x: int) -> int:
        ones, zeros = np.ones(_HIDDEN, np.float32), np.zeros(_HIDDEN, np.float32)
        return made.op("norm", x, name="norm", weight=ones, bias=zeros)

    def table(rows: int, index: str) -> int:
        return made.op(
            "lookup", IDS, name=index, index=index, table=random.standard_normal((rows, _HIDDEN), np.float32)
        )

    x = norm(made.op("add", table(_VOCABULARY, "token"), table(512, "position")))
    for _ in range(layers):
        qkv = linear(x, 3 * _HIDDEN, _HIDDEN)
        mixed = made.op("attention", qkv, heads=_HEADS, scale=(_HIDDEN // _HEADS) ** -0.5, precision="float32")
        x = norm(linear(mixed, _HIDDEN, _HIDDEN, x))
        x = norm(linear(linear(x, _INNER, _HIDDEN, activation="gelu"), _HIDDEN, _INNER, x))
    vectors = made.op("normalize", linear(x, _HIDDEN, _HIDDEN))
    dense = made.op("normalize", made.op("pool", x, kind="first"))
    made.outputs = dict(zip(OUTPUTS, (dense, linear(x, 1, _HIDDEN, activation="relu"), vectors), strict=True))
    return made


def main() -> None:
    """The child process of one thread count: reads a job from stdin, writes seconds of each turn to stdout."""
    job = json.load(sys.stdin)
    model = _core.Model(job["model"], threads=job["threads"])
    seconds = {}
    for name, lengths in WORKLOADS.items():
        ids = np.random.default_rng(1).integers(0, _VOCABULARY, sum(lengths)).astype(np.int32)
        offsets = np.cumsum([0, *lengths])

        def each(ids: np.ndarray = ids, offsets: np.ndarray = offsets) -> list[np.ndarray]:
            return [model.run(ids, offsets, output) for output in OUTPUTS]

        once = functools.partial(model.run_outputs, ids, offsets, list(OUTPUTS))
        if any(one.tobytes() != other.tobytes() for one, other in zip(once(), each(), strict=True)):
            raise RuntimeError("one pass gives other bits than three")
        turns = harness.run_rounds({"one": once, "each": each}, job["rounds"], _TURN_SECONDS)
        seconds[name] = {which: min(turn.wall for turn in some) for which, some in turns.items()}
    print(json.dumps(seconds))


def command(arguments: Sequence[str] | None = None) -> None:
    """What `python -m embedrt_bench.one_pass` does."""
    from embedrt_bench.cli import counts

    parser = argparse.ArgumentParser(prog="python -m embedrt_bench.one_pass", description="Measure three outputs.")
    parser.add_argument("--layers", metavar="N", type=int, default=24, help="of the encoder (default: 24)")
    parser.add_argument("--threads", metavar="COUNTS", type=counts, default=[1], help="such as 1,2 (default: 1)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="turns of each (default: 5)")
    args = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.embedrt"
        writer.write(path, [*writer.program_sections(quantize(encoder(args.layers), "int8"))])
        for threads in args.threads:
            found = child.run("one_pass", {"model": str(path), "threads": threads, "rounds": args.rounds}, threads)
            rows += [
                [name, str(threads), f"{1e3 * s['one']:,.1f}", f"{1e3 * s['each']:,.1f}", f"{s['each'] / s['one']:.2f}"]
                for name, s in found.items()
            ]
    conditions = machine.describe(_core.isa())
    header = [f"{args.layers} layers of {_HIDDEN}", "threads", "one pass, ms", "three passes, ms", "times faster"]
    print(f"{report.machine_text(conditions)}{report.busy_text(conditions)}\n\n{report.table(header, rows)}")


if __name__ == "__main__":
    command()
