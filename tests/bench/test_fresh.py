"""Cold starts are measured in processes of their own, which import nothing of the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedrt_bench import child, fresh, fresh_process
from embedrt_bench.engines import Contestant, floor
from embedrt_bench.errors import BenchError
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

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
    assert 0 <= row["idle_cpu_seconds"] < fresh_process.IDLE_SECONDS


def test_stages(tokenizer_file: Path, tmp_path: Path) -> None:
    program = Program(vocabulary=6, max_tokens=16)
    tokens = program.op("lookup", IDS, name="words", table=np.ones((6, 4), np.float32), index="token")
    program.outputs["sentence_embedding"] = program.op("pool", tokens, kind="mean")
    tokenizer = writer.section(writer.TOKENIZER, tokenizer_file.read_bytes())
    writer.write(tmp_path / "a.embedrt", [*writer.program_sections(program), tokenizer])
    stages = fresh.measure_stages(str(tmp_path / "a.embedrt"), "a b", threads=1, rounds=2)
    assert [*stages][0::7] == ["Python", "encode"]
    assert all(0 < milliseconds < 60_000 for milliseconds in stages.values())


def test_calls_cover_the_total_and_repeat() -> None:
    calls = fresh.draw_calls(10, 1000)
    assert sum(map(len, calls)) == 1000
    assert {number for call in calls for number in call} == set(range(10))
    assert calls == fresh.draw_calls(10, 1000)


def test_a_model_is_a_file_or_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(b"123")
    (tmp_path / "weights").write_bytes(b"45")
    assert fresh.model_bytes(tmp_path / "graph") == 3
    assert fresh.model_bytes(tmp_path) == 5


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
    assert not loaded & {
        "embedrt",
        "embedrt_convert",
        "torch",
        "transformers",
        "onnx",
        "onnxruntime",
        "openvino",
        "statistics",
    }
