"""A whole benchmark, with engines that only count tokens, and the JSON that comes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from embedrt_bench.engines import floor
from embedrt_bench.plan import PARTS, Plan, counter


def plan(tokenizer: Path, parts: tuple[str, ...] = PARTS) -> Plan:
    counting = floor.contestant(str(tokenizer))
    return Plan(
        contestants=[counting._replace(name="ours"), counting._replace(name="peer", batch_sizes=(8, 32))],
        rivals=["peer"],
        reference=counting._replace(name="reference"),
        tokenizer=tokenizer,
        threads=[1, 2],
        workloads=["query", "128"],
        parts=parts,
        rounds=2,
        max_tokens=512,
        data=None,
        work=lambda tokens: 1000 * tokens + tokens * tokens,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_everything_that_the_json_holds(tokenizer_file: Path) -> None:
    result: dict[str, Any] = json.loads(json.dumps(plan(tokenizer_file).measure()))
    assert "synthetic" in result["texts"]
    assert [(c["name"], c["rival"]) for c in result["contestants"]] == [("ours", False), ("peer", True)]
    assert [(w["name"], w["texts"], w["tokens"], w["multiply_adds"]) for w in result["workloads"]] == [
        ("query", 1, 9, 9_081),
        ("128", 128, 16_384, 128 * (128_000 + 16_384)),
    ]
    assert [row["threads"] for row in result["peaks"]] == [1, 2]
    assert all(row["int8_dot"] > 1e6 for row in result["peaks"])
    runs = [(r["threads"], r["workload"], r["contestant"], r["batch_size"]) for r in result["throughput"]]
    # One text makes one batch, so the larger batch size is not run on the query.
    each = [("query", "ours", 0), ("query", "peer", 8), ("128", "ours", 0), ("128", "peer", 8), ("128", "peer", 32)]
    assert runs == [(threads, *run) for threads in (1, 2) for run in each]
    for row in result["throughput"]:
        assert len(row["seconds"]) == len(row["cpu_seconds"]) == 2
        assert row["best_seconds"] == min(row["seconds"])
    assert [row["contestant"] for row in result["starts"]][:2] == ["ours", "peer"]
    assert [row["contestant"] for row in result["growth"]] == ["ours", "peer"]
    assert [row["contestant"] for row in result["quality"]] == ["reference", "ours", "peer"]
    assert result["quality"][1]["cosine_worst"] == pytest.approx(1.0)
    assert "spearman" not in result["quality"][1]


def test_parts_that_were_not_asked_for_are_not_measured(tokenizer_file: Path) -> None:
    result = plan(tokenizer_file, parts=("quality",)).measure()
    assert result["throughput"] == result["starts"] == result["growth"] == []
    assert result["stages"] == {}
    assert len(result["quality"]) == 3


def test_tokens_are_counted_uncut_and_unpadded(tokenizer_file: Path) -> None:
    assert counter(tokenizer_file)(["", "a b", "a " * 600]) == [2, 4, 602]
