"""Cold starts are measured in processes of their own, which import nothing of the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from embedrt_bench import child, fresh
from embedrt_bench.engines import Contestant, floor
from embedrt_bench.errors import BenchError

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.fixture
def starter(tokenizer_file: Path) -> Contestant:
    return floor.contestant(str(tokenizer_file))


@linux_only
def test_starts(starter: Contestant) -> None:
    (row,) = fresh.measure_starts([starter], "a b", threads=1, rounds=2, max_tokens=8)
    assert len(row["milliseconds"]) == 2
    assert 0 < row["best_milliseconds"] <= row["median_milliseconds"]
    assert row["file_bytes"] == Path(starter.model).stat().st_size
    # The child's own peak, not what it inherits from this process: an interpreter with NumPy, and no more.
    assert 5e6 < row["peak_rss_bytes"] < 150e6


@linux_only
def test_growth(starter: Contestant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "GROWTH_TEXTS", 50)
    (row,) = fresh.measure_growth([starter], ["a", "b a"], threads=1, max_tokens=8)
    assert row["texts"] == 50
    assert row["peak_rss"] >= row["after"] > 0


def test_calls_cover_the_total_and_repeat() -> None:
    calls = fresh.draw_calls(10, 1000)
    assert sum(map(len, calls)) == 1000
    assert {number for call in calls for number in call} == set(range(10))
    assert calls == fresh.draw_calls(10, 1000)


def test_a_child_that_fails_is_an_error(starter: Contestant) -> None:
    broken = starter._replace(model="missing.json")
    with pytest.raises(BenchError, match="fresh_process process failed"):
        fresh.measure_starts([broken], "a", threads=1, rounds=1, max_tokens=8)


def test_one_thread_means_one() -> None:
    one, two = child.environment(1), child.environment(2)
    assert (one["TOKENIZERS_PARALLELISM"], one["OMP_NUM_THREADS"]) == ("false", "1")
    assert (two["TOKENIZERS_PARALLELISM"], two["OMP_NUM_THREADS"]) == ("true", "2")


def test_a_peers_process_imports_neither_embedrt_nor_the_exporters() -> None:
    code = (
        "import embedrt_bench.fresh_process, embedrt_bench.engines.floor, json, sys; print(json.dumps([*sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"embedrt", "embedrt_convert", "torch", "transformers", "onnx", "onnxruntime", "statistics"}
