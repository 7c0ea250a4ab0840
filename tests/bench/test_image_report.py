"""The tables of an image model show what was measured, and the ratios are the right way round."""

from __future__ import annotations

from typing import Any

import pytest

from embedrt_bench.images import report


def timing(workload: str, contestant: str, batch_size: int, images_per_second: float) -> dict[str, Any]:
    return {
        "threads": 2,
        "workload": workload,
        "contestant": contestant,
        "batch_size": batch_size,
        "best_seconds": 8 / images_per_second,
        "images_per_second": images_per_second,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "images": "some pictures",
        "machine": {
            "cpu": "A CPU",
            "flags": ["avx2"],
            "cpus": 2,
            "isa": "avx2",
            "load": 0.1,
            "system": "Linux",
            "python": "3.12.0",
            "versions": {"numpy": "2.0"},
        },
        "model": {"name": "m.embedrt", "fingerprint": "f00d", "image_size": [224, 160], "multiply_adds": 4_000_000_000},
        "contestants": [
            {"name": "ours", "rival": False},
            {"name": "peer int8", "rival": True},
            {"name": "peer float", "rival": False},
        ],
        "workloads": [{"name": "pixels-8", "title": "from pixels, 8 images"}],
        "peaks": [{"threads": 2, "int8_dot": 2e12}],
        "throughput": [
            timing("pixels-8", "ours", 0, 200.0),
            timing("pixels-8", "peer int8", 1, 80.0),
            timing("pixels-8", "peer int8", 8, 100.0),
            timing("pixels-8", "peer float", 4, 160.0),
        ],
        "quality": [{"contestant": "ours", "images": 25, "cosine_mean": 0.998812, "cosine_worst": 0.99471}],
    }


def cells(text: str, first: str) -> list[str]:
    """The cells of the row whose first cell is `first`."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    (row,) = [row for row in rows if row[0] == first]
    return row[1:]


def test_throughput_takes_the_better_batch_size(result: dict[str, Any]) -> None:
    text = report.markdown(result)
    ratios = ["beside peer int8", "beside the fastest", "of int8 peak"]
    assert cells(text, "images/s, 2 threads") == ["ours", "peer int8", "peer float", *ratios]
    # 200 images of 4 G multiply-adds a second are 0.8 of 2 T.
    measured = ["200.0", "100.0 (8)", "160.0 (4)", "2.00×", "1.25×", "40.0%"]
    assert cells(text, "from pixels, 8 images") == measured
    assert "The peak: 2,000 G multiply-adds a second" in text
    assert "images of 160 x 224" in text


def test_a_model_that_is_not_int8_has_no_int8_peak(result: dict[str, Any]) -> None:
    result["model"]["multiply_adds"] = None
    text = report.markdown(result)
    assert cells(text, "images/s, 2 threads")[-1] == "beside the fastest"
    assert "peak" not in text


def test_fidelity(result: dict[str, Any]) -> None:
    text = report.markdown(result)
    assert cells(text, "fidelity, 25 pictures") == ["cosine, mean", "cosine, worst"]
    assert cells(text[text.index("fidelity") :], "ours") == ["0.99881", "0.9947"]


def test_parts_that_were_not_measured_are_left_out(result: dict[str, Any]) -> None:
    result["throughput"], result["quality"] = [], []
    assert "|" not in report.markdown(result)
