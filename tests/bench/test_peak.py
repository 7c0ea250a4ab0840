"""The machine's ceilings, and their table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from embedrt import InputError, _core
from embedrt_bench import child, cli, peak

MACHINE = {"cpu": "A CPU", "flags": ["avx2"], "cpus": 2, "isa": "avx2", "load": 0.1}
MACHINE |= {"system": "Linux", "python": "3.12.0", "versions": {"numpy": "2.0"}}


def row(threads: int, scale: float) -> dict[str, Any]:
    names = ("int8_dot", "int8_gemm", "fp32_fma", "read_cache", "read_memory")
    return {"threads": threads, **{name: scale * 1e9 * (i + 1) for i, name in enumerate(names)}}


def test_the_table_has_a_row_for_each_thread_count() -> None:
    text = peak.markdown({"machine": MACHINE, "peaks": [row(1, 1), row(2, 1000)]})
    assert text.startswith("A CPU (avx2), 2 CPUs; embedrt runs avx2;")
    header, _, *lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header[1:4]] == [
        "int8 dot instruction, GMAC/s",
        "int8 matrix product, GMAC/s",
        "fp32 FMA, GFLOP/s",
    ]
    # A fused multiply-add is two operations.
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["1", "1.0", "2.0", "6.0", "4.0", "5.0"],
        ["2", "1,000.0", "2,000.0", "6,000.0", "4,000.0", "5,000.0"],
    ]


def test_the_best_round_counts_for_each_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"int8_dot": 5.0, "fp32_fma": 1.0}, {"int8_dot": 9.0, "fp32_fma": 3.0}]
    answers += [{"int8_dot": 4.0, "fp32_fma": 2.0}, {"int8_dot": 8.0, "fp32_fma": 4.0}]
    jobs = []

    def run(module: str, job: dict[str, Any], threads: int) -> dict[str, float]:
        jobs.append((module, job, threads))
        return answers.pop(0)

    monkeypatch.setattr(child, "run", run)
    assert peak.measure([1, 2], rounds=2) == [
        {"threads": 1, "int8_dot": 5.0, "fp32_fma": 2.0},
        {"threads": 2, "int8_dot": 9.0, "fp32_fma": 4.0},
    ]
    assert jobs == [("peak", {"threads": threads}, threads) for threads in (1, 2, 1, 2)]


def test_the_command_measures_every_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    path = tmp_path / "peak.json"
    assert cli.run(parser.parse_args(["--peak", "--threads", "1", "--rounds", "1", "--json", str(path)])) == 0
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["machine"]["isa"] == _core.isa()
    (found,) = result["peaks"]
    assert found.keys() == {"threads", *_core.peak_names()}
    assert all(found[name] > 1e6 for name in _core.peak_names())
    assert "| threads |" in capsys.readouterr().out


def test_an_unknown_ceiling_is_named() -> None:
    with pytest.raises(InputError, match="no ceiling is called int9; there are int8_dot int8_gemm"):
        _core.peak("int9", 1, 0.0)
