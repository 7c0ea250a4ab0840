"""One benchmark of an image model from its parts: who runs what, with how many threads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrt_bench import sources
from embedrt_bench.engines import Contestant
from embedrt_bench.images import checkpoint as checkpoints
from embedrt_bench.images import engines, fidelity, samples, throughput, workloads

PARTS = ("throughput", "quality")


@dataclass(frozen=True)
class ImagePlan:
    """`contestants[0]` is embedrt; `rivals` are the names of the peers' variants that it is compared with."""

    model: dict[str, Any]  # as the result has it
    contestants: Sequence[Contestant]
    rivals: Sequence[str]
    reference: Contestant
    pictures: samples.Samples
    threads: Sequence[int]
    workloads: Sequence[str]
    parts: Sequence[str]
    rounds: int

    def measure(self) -> dict[str, Any]:
        """The measured part of the result."""
        loads = workloads.build(self.workloads)
        files = self.pictures.measured
        result: dict[str, Any] = {
            "model": self.model,
            "images": self.pictures.label,
            "contestants": [one.summary(rival=one.name in self.rivals) for one in self.contestants],
            "workloads": [load._asdict() for load in loads],
            "throughput": [],
            "peaks": [],
            "quality": [],
        }
        if "throughput" in self.parts:
            for threads in self.threads:
                rows, peak = throughput.measure(self.contestants, loads, files, threads, self.rounds)
                result["throughput"] += rows
                result["peaks"].append({"threads": threads, "int8_dot": peak})
        if "quality" in self.parts:
            result["quality"] = fidelity.measure(self.contestants, self.reference, files, max(self.threads))
        return result


def prepare(
    path: Path,
    *,
    source: str,
    against: Sequence[str],
    data: Path | None,
    threads: Sequence[int],
    workloads: Sequence[str],
    parts: Sequence[str],
    rounds: int,
) -> ImagePlan:
    """The plan for the model file at `path`; makes the peers' models from `source`, where they are not yet."""
    # Here and not above: `embedrt bench --help` needs none of these.
    import embedrt
    from embedrt_bench.images.engines import embedrt as ours
    from embedrt_bench.images.engines.onnxruntime import reference as reference_of

    model = embedrt.load(path)
    core = embedrt._core.Model(str(path))
    section = json.loads(core.section("image") or b"{}")
    height, width = section["height"], section["width"]
    quantisation = str(model.info.report["quantisation"])
    cache = sources.cache_folder()
    pictures = samples.find(data, cache)
    options = model.info.about["options"]
    with sources.checkpoint_folder(source) as found:
        # What weights alone do not say, and the converter was told.
        checkpoint = checkpoints.read(found, str(options.get("arch", "")), (height, width))
        peers = [engines.engine(name).prepare(checkpoint, cache, pictures, section) for name in against]
        reference = reference_of(checkpoint, cache, section)
    return ImagePlan(
        model={
            "name": path.name,
            "fingerprint": model.fingerprint,
            "source": source,
            "image_size": [height, width],
            "multiply_adds": core.work(0, ours.OUTPUT) if quantisation == "int8" else None,
        },
        contestants=[ours.contestant(path, quantisation, section), *(one for variants in peers for one in variants)],
        rivals=[variants[0].name for variants in peers],
        reference=reference,
        pictures=pictures,
        threads=threads,
        workloads=workloads,
        parts=parts,
        rounds=rounds,
    )
