"""The tables show what was measured, and the ratios are the right way round."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from embedrt_bench import report


def timing(threads: int, workload: str, contestant: str, batch_size: int, seconds: float) -> dict[str, Any]:
    return {
        "threads": threads,
        "workload": workload,
        "contestant": contestant,
        "batch_size": batch_size,
        "best_seconds": seconds,
        "tokens_per_second": 12_000 / seconds,
    }


def start(contestant: str, milliseconds: float, peak: int) -> dict[str, Any]:
    return {
        "contestant": contestant,
        "threads": 2,
        "best_milliseconds": milliseconds,
        "peak_rss_bytes": peak,
        "file_bytes": 23_000_000,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "texts": "some texts",
        "machine": {
            "cpu": "A CPU",
            "flags": ["avx2", "fma"],
            "cpus": 2,
            "isa": "avx2",
            "load": 0.1,
            "system": "Linux",
            "python": "3.12.0",
            "versions": {"numpy": "2.0"},
        },
        "model": {"name": "m.embedrt", "fingerprint": "f00d", "source": "folder"},
        "contestants": [
            {"name": "ours", "rival": False},
            {"name": "peer int8", "rival": True},
            {"name": "peer fp32", "rival": False},
        ],
        "workloads": [
            {"name": "query", "title": "one query", "texts": 1, "multiply_adds": 8_000_000},
            {"name": "short", "title": "short sentences", "texts": 1024, "multiply_adds": 150_000_000_000},
        ],
        "peaks": [{"threads": 1, "int8_dot": 1.2e12}],
        "throughput": [
            timing(1, "query", "ours", 0, 0.001),
            timing(1, "query", "peer int8", 8, 0.0015),
            timing(1, "query", "peer fp32", 8, 0.004),
            timing(1, "short", "ours", 0, 0.5),
            timing(1, "short", "peer int8", 8, 1.5),
            timing(1, "short", "peer int8", 32, 1.25),
            timing(1, "short", "peer fp32", 8, 3.0),
        ],
        "starts": [
            start("ours", 100, 60_000_000),
            start("peer int8", 200, 120_000_000),
            start("floor", 80, 40_000_000),
        ],
        "stages": {"Python": 12.04, "encode": 1.26},
        "growth": [
            {
                "contestant": "ours",
                "texts": 10_000,
                "before": 70_000_000,
                "after": 70_500_000,
                "peak_rss": 71_000_000,
                "idle_cpu_seconds": 0.0123,
            }
        ],
        "quality": [
            {"contestant": "reference", "sentences": 3000, "spearman": 0.8672},
            {
                "contestant": "ours",
                "sentences": 3000,
                "cosine_mean": 0.998812,
                "cosine_worst": 0.99471,
                "spearman": 0.8668,
            },
        ],
    }


def cells(text: str, first: str) -> list[str]:
    """The cells of the row whose first cell is `first`."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    (row,) = [row for row in rows if row[0] == first]
    return row[1:]


def test_a_table_is_aligned() -> None:
    assert report.table(["a", "bb"], [["long name", "1"], ["x", "12345"]]).splitlines() == [
        "| a         |    bb |",
        "| --------- | ----: |",
        "| long name |     1 |",
        "| x         | 12345 |",
    ]


def test_throughput_takes_the_better_batch_size(result: dict[str, Any]) -> None:
    text = report.markdown(result)
    assert cells(text, "tokens/s, 1 thread") == ["ours", "peer int8", "peer fp32", "beside peer int8", "of int8 peak"]
    assert cells(text, "short sentences") == ["24,000", "9,600 (32)", "4,000 (8)", "2.50×", "25.0%"]
    assert cells(text, "one query, ms") == ["1.00", "1.50", "4.00", "1.50×", "0.7%"]


def test_a_peak_is_that_of_the_same_threads(result: dict[str, Any]) -> None:
    result["throughput"] = [{**row, "threads": 2} for row in result["throughput"]]
    result["peaks"].append({"threads": 2, "int8_dot": 2.0e12})
    text = report.markdown(result)
    assert cells(text, "short sentences")[-1] == "15.0%"
    assert "The peak: 2,000 G multiply-adds a second" in text


def test_a_model_that_is_not_int8_has_no_int8_peak(result: dict[str, Any]) -> None:
    for workload in result["workloads"]:
        workload["multiply_adds"] = None
    text = report.markdown(result)
    assert cells(text, "tokens/s, 1 thread")[-1] == "beside peer int8"
    assert "peak:" not in text


def test_one_query_at_the_better_thread_count(result: dict[str, Any]) -> None:
    assert "better thread count" not in report.markdown(result)
    result["peaks"].append({"threads": 2, "int8_dot": 2.4e12})
    for row in copy.deepcopy(result["throughput"]):
        factor = 0.8 if row["contestant"] == "peer int8" else 1.1
        result["throughput"].append({**row, "threads": 2, "best_seconds": factor * row["best_seconds"]})
    text = report.markdown(result)
    assert "ours 1.00 ms (threads: 1); peer int8 1.20 ms (threads: 2); peer fp32 4.00 ms (threads: 1)." in text
    assert "ours beside the fastest peer, peer int8: 1.20×." in text


def test_starts_and_growth(result: dict[str, Any]) -> None:
    text = report.markdown(result)
    starts = text[text.index("fresh process") : text.index("fidelity")]
    assert cells(starts, "ours") == ["100", "20", "60.0", "23.0", "0.5", "71.0", "12.3"]
    assert cells(text, "peer int8") == ["200", "120", "120.0", "23.0", "", "", ""]
    assert cells(text, "floor") == ["80", "", "40.0", "", "", "", ""]
    assert "ours needs 0.50 of peer int8's time to the first vector and 0.50 of its peak memory." in text


def test_stages(result: dict[str, Any]) -> None:
    text = report.markdown(result)
    assert cells(text, "stages of ours's start") == ["ms"]
    assert (cells(text, "Python"), cells(text, "encode")) == (["12.0"], ["1.3"])


def test_fidelity(result: dict[str, Any]) -> None:
    result["starts"] = []
    text = report.markdown(result)
    assert cells(text, "reference") == ["", "", "0.8672"]
    assert cells(text, "ours") == ["0.99881", "0.9947", "0.8668"]


def test_a_busy_machine_is_said(result: dict[str, Any]) -> None:
    assert "not to be trusted" not in report.markdown(result)
    result["machine"]["load"] = 3.0
    assert "Other processes were running (load 3.0)" in report.markdown(result)


def test_parts_that_were_not_measured_are_left_out(result: dict[str, Any]) -> None:
    for part in ("throughput", "starts", "stages", "growth", "quality"):
        result[part] = []
    assert "|" not in report.markdown(result)
