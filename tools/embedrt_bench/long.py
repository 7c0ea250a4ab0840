"""One long text at a time: tokens/s and memory, for embedrt alone.

    python -m embedrt_bench.long MODEL.embedrt [--threads 1,2]

Every length and thread count has a fresh process, so that a peak of memory is that of one text.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

import embedrt
from embedrt import _core
from embedrt_bench import child, machine, report
from embedrt_bench.errors import BenchError
from embedrt_bench.fresh_process import peak_rss

LENGTHS = (512, 2048, 8192)
# Rounds of a text: three, and more until this has passed.
_SECONDS = 3.0


def measure(model: str, threads: Sequence[int], lengths: Sequence[int] = LENGTHS) -> list[report.Row]:
    """A row for each thread count and each of the lengths that the model takes: `threads`, `tokens`, `seconds` of the
    best round, `peak_rss` and, of a query before the text, `query_peak_rss`, both in bytes.

    Raises BenchError when the model takes none of the lengths.
    """
    # Here and not above: the child process is measured and needs neither.
    from embedrt_bench import texts, workloads

    loaded = embedrt.load(model)
    loaded.max_tokens = most = _core.Model(model).max_tokens
    taken = [length for length in lengths if length <= most]
    if not taken:
        raise BenchError(f"{model} takes {most} tokens at most; the shortest text measured has {min(lengths)}")
    corpus = texts.corpus(texts.find(None))

    def count(many: Sequence[str]) -> list[int]:
        return [len(loaded.token_ids(text)) for text in many]

    made = {n: workloads.exactly(n, 1, corpus.sentences, count)[0] for n in (workloads.QUERY_TOKENS, *taken)}
    rows = []
    for workers in threads:
        for tokens in taken:
            child.say(f"{tokens:,} tokens, threads: {workers}")
            job = {"model": model, "threads": workers, "tokens": tokens}
            job |= {"query": made[workloads.QUERY_TOKENS], "text": made[tokens]}
            rows.append({"threads": workers, "tokens": tokens, **child.run("long", job, workers)})
    return rows


def main() -> None:
    """The child process of one text: reads a job from stdin, writes the last three fields of its row to stdout."""
    job = json.load(sys.stdin)
    model = embedrt.load(job["model"], threads=job["threads"])
    model.encode(job["query"])
    query_peak = peak_rss()
    rounds: list[float] = []
    while sum(rounds) < _SECONDS or len(rounds) < 3:
        start = time.perf_counter()
        model.encode(job["text"], max_tokens=job["tokens"])
        rounds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": min(rounds), "peak_rss": peak_rss(), "query_peak_rss": query_peak}))


def markdown(rows: Sequence[report.Row]) -> str:
    """The table of what `measure` gave."""
    return report.table(
        ["one text", "threads", "ms", "tokens/s", "peak RSS, MB", "more than a query's, MB"],
        [
            [
                f"{row['tokens']:,} tokens",
                str(row["threads"]),
                f"{1e3 * row['seconds']:,.1f}",
                f"{row['tokens'] / row['seconds']:,.0f}",
                f"{row['peak_rss'] / 1e6:.1f}",
                f"{(row['peak_rss'] - row['query_peak_rss']) / 1e6:.1f}",
            ]
            for row in rows
        ],
    )


def command(arguments: Sequence[str] | None = None) -> None:
    """What `python -m embedrt_bench.long` does."""
    from embedrt_bench.cli import counts

    parser = argparse.ArgumentParser(prog="python -m embedrt_bench.long", description="Measure single long texts.")
    parser.add_argument("model", metavar="MODEL", help="an .embedrt file")
    parser.add_argument("--threads", metavar="COUNTS", type=counts, default=[1], help="such as 1,2 (default: 1)")
    args = parser.parse_args(arguments)
    conditions = machine.describe(_core.isa())
    rows = measure(args.model, args.threads)
    print(f"{report.machine_text(conditions)}{report.busy_text(conditions)}\n\n{markdown(rows)}")


if __name__ == "__main__":
    command()
