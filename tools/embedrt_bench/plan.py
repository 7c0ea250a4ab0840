"""One benchmark from its parts: who runs what, with how many threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from embedrt_bench import child, fresh, quality, throughput, workloads
from embedrt_bench.engines import Contestant, floor
from embedrt_bench.texts import corpus

PARTS = ("throughput", "fresh", "growth", "quality")
_FRESH_ROUNDS = 10
_GROWTH_TEXTS = 1000  # different ones, drawn from again and again


@dataclass(frozen=True)
class Plan:
    """`contestants[0]` is embedrt; `rivals` are the names of the peers' variants that it is compared with.

    `work` gives embedrt's multiply-adds of bytes for a text of so many tokens; None for a model that is not int8.
    """

    contestants: Sequence[Contestant]
    rivals: Sequence[str]
    reference: Contestant
    tokenizer: Path
    threads: Sequence[int]
    workloads: Sequence[str]
    parts: Sequence[str]
    rounds: int
    max_tokens: int
    data: Path | None
    work: Callable[[int], int] | None

    def measure(self) -> dict[str, Any]:
        """The measured part of the result."""
        texts = corpus(self.data)
        count = counter(self.tokenizer)
        loads = workloads.build(self.workloads, texts, count, self.max_tokens)
        most = max(self.threads)
        compared = [c for i, c in enumerate(self.contestants) if i == 0 or c.name in self.rivals]
        result: dict[str, Any] = {
            "texts": texts.label,
            "contestants": [one.summary(rival=one.name in self.rivals) for one in self.contestants],
            "workloads": [_workload_summary(load, self.work) for load in loads],
            "throughput": [],
            "peaks": [],
            "starts": [],
            "stages": {},
            "growth": [],
            "quality": [],
        }
        if "throughput" in self.parts:
            for threads in self.threads:
                rows, peak = throughput.measure(self.contestants, loads, threads, self.rounds, self.max_tokens)
                result["throughput"] += rows
                result["peaks"].append({"threads": threads, "int8_dot": peak})
        if "fresh" in self.parts:
            child.say("fresh processes")
            query = workloads.exactly(workloads.QUERY_TOKENS, 1, texts.sentences, count)[0]
            starters = [*self.contestants, floor.contestant(str(self.tokenizer))]
            result["starts"] = fresh.measure_starts(starters, query, most, _FRESH_ROUNDS, self.max_tokens)
            if self.contestants[0].engine == "embedrt":
                result["stages"] = fresh.measure_stages(self.contestants[0].model, query, most, _FRESH_ROUNDS)
        if "growth" in self.parts:
            lengths = workloads.mixed(texts, _GROWTH_TEXTS, count)
            result["growth"] = fresh.measure_growth(compared, lengths, most, self.max_tokens)
        if "quality" in self.parts:
            result["quality"] = quality.measure(self.contestants, self.reference, texts, most, self.max_tokens)
        return result


def counter(tokenizer: Path) -> workloads.CountTokens:
    """Counts the tokens of texts, special tokens included, with nothing cut or padded."""
    parsed = Tokenizer.from_file(str(tokenizer))
    parsed.no_padding()
    parsed.no_truncation()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in parsed.encode_batch_fast(list(texts))]

    return count


def _workload_summary(workload: workloads.Workload, work: Callable[[int], int] | None) -> dict[str, Any]:
    return {
        "name": workload.name,
        "title": workload.title,
        "texts": len(workload.texts),
        "tokens": sum(workload.tokens),
        "shortest": min(workload.tokens),
        "longest": max(workload.tokens),
        "multiply_adds": sum(map(work, workload.tokens)) if work else None,
    }
