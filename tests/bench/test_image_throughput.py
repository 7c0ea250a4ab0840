"""Everything that a result of an image model holds, with encoders that only average pixels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embedrt_bench import child
from embedrt_bench.engines import Contestant
from embedrt_bench.images import engines, fidelity, samples, throughput, workloads
from embedrt_bench.images.plan import PARTS, ImagePlan


class FakeEncoder:
    """Two columns from each file's length; `turned` rotates them away. Calls are counted."""

    def __init__(self, turned: float = 0.0) -> None:
        self.turned = turned
        self.calls: list[tuple[str, int, int]] = []

    def prepare(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        return np.array([len(file) for file in files], np.float32)

    def encode(self, prepared: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        self.calls.append(("pixels", len(prepared), batch_size))
        angles = prepared + self.turned
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def encode_files(self, files: Sequence[bytes], batch_size: int) -> NDArray[np.float32]:
        vectors = self.encode(self.prepare(files), batch_size)
        self.calls[-1] = ("files", len(files), batch_size)
        return vectors


OURS = Contestant("fake", "ours", "", (0,), {}, {})
PEER = Contestant("fake", "peer", "", (1, 8), {}, {})


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeEncoder]:
    """By the contestant's name. Children run in this process; what they are told goes through JSON all the same."""
    fakes = {"ours": FakeEncoder(), "peer": FakeEncoder(turned=0.1), "reference": FakeEncoder()}
    monkeypatch.setattr(engines, "load", lambda contestant, threads: fakes[contestant.name])
    modules = {"images.throughput": throughput, "images.fidelity": fidelity}
    monkeypatch.setattr(throughput, "TURN_SECONDS", 0.001)
    monkeypatch.setattr(throughput, "int8_peak", lambda threads: 1e9 * threads)

    def run(module: str, job: dict[str, Any], threads: int) -> Any:
        return json.loads(json.dumps(modules[module].run(json.loads(json.dumps(job)))))

    monkeypatch.setattr(child, "run", run)
    return fakes


@pytest.fixture
def pictures(tmp_path: Path) -> samples.Samples:
    files = [tmp_path / f"{number:02d}.jpg" for number in range(20)]
    for number, file in enumerate(files):
        file.write_bytes(b"x" * number)
    return samples.Samples("some pictures", files[::2], files[1::2])


def plan(pictures: samples.Samples, parts: Sequence[str] = PARTS) -> ImagePlan:
    return ImagePlan(
        model={"name": "m.embedrt", "multiply_adds": 1000},
        contestants=[OURS, PEER],
        rivals=["peer"],
        reference=OURS._replace(name="reference"),
        pictures=pictures,
        threads=[1, 2],
        workloads=workloads.NAMES,
        parts=parts,
        rounds=2,
    )


def test_everything_that_the_json_holds(encoders: dict[str, FakeEncoder], pictures: samples.Samples) -> None:
    result = json.loads(json.dumps(plan(pictures).measure()))
    assert result["images"] == "some pictures"
    assert [(c["name"], c["rival"]) for c in result["contestants"]] == [("ours", False), ("peer", True)]
    assert result["peaks"] == [{"threads": 1, "int8_dot": 1e9}, {"threads": 2, "int8_dot": 2e9}]
    # One image makes one batch, so the larger batch size is not run on it.
    one = [("ours", 0), ("peer", 1)]
    runs = {name: one if name.endswith("-1") else [*one, ("peer", 8)] for name in workloads.NAMES}
    expected = [(threads, name, *run) for threads in (1, 2) for name in workloads.NAMES for run in runs[name]]
    assert [(r["threads"], r["workload"], r["contestant"], r["batch_size"]) for r in result["throughput"]] == expected
    for row in result["throughput"]:
        assert len(row["seconds"]) == len(row["cpu_seconds"]) == 2
        assert row["images_per_second"] == pytest.approx(8 / min(row["seconds"]))
    assert {(kind, images) for kind, images, _ in encoders["ours"].calls} == {
        ("pixels", 1),
        ("pixels", 8),
        ("files", 1),
        ("files", 8),
        ("files", 10),  # fidelity: all that are measured
    }


def test_fidelity_is_beside_the_reference(encoders: dict[str, FakeEncoder], pictures: samples.Samples) -> None:
    result = plan(pictures, parts=["quality"]).measure()
    assert result["throughput"] == result["peaks"] == []
    ours, peer = result["quality"]
    assert (ours["contestant"], ours["images"], ours["cosine_worst"]) == ("ours", 10, pytest.approx(1.0))
    assert peer["cosine_mean"] == pytest.approx(np.cos(0.1), abs=1e-6)


@pytest.mark.parametrize("turned", [0.8, float("nan")])
def test_other_vectors_are_refused(encoders: dict[str, FakeEncoder], pictures: samples.Samples, turned: float) -> None:
    encoders["peer"].turned = turned
    with pytest.raises(RuntimeError, match="peer and ours differ"):
        plan(pictures, parts=["throughput"]).measure()


def test_pictures_are_taken_from_all_over_the_list() -> None:
    files = [Path(str(number)) for number in range(24)]
    assert [int(file.name) for file in throughput.evenly(files, 8)] == [0, 3, 6, 9, 12, 15, 18, 21]
