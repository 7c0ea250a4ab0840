"""Makes the float32 ONNX models of an image checkpoint, cached: the reference, and what the peers start from.

Needs torch and what the checkpoint needs, only here and only until the models are in the cache.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrt_bench.engines import model_cache
from embedrt_bench.images.checkpoint import ImageCheckpoint

INPUT, _OUTPUT = "pixels", "embedding"
# Part of the cache's key: raise it when a change below makes other models.
_RECIPE = 1
_OPSET = 17
_TOOLS = ("torch", "transformers", "onnx", "onnxruntime")
_NAMED_TOOLS = ("timm", "torchvision")  # networks of these are fetched by name


@dataclass(frozen=True)
class ExportedFiles:
    """One folder of the cache. Inputs are float32 [n, 3, height, width], outputs float32 [n, columns]."""

    folder: Path

    @property
    def plain(self) -> Path:
        """As exported, nothing rearranged: the reference for fidelity."""
        return self.folder / "plain.onnx"

    @property
    def prepared(self) -> Path:
        """The same function in fewer steps: constants folded, paddings joined with their convolutions."""
        return self.folder / "prepared.onnx"

    @property
    def made(self) -> dict[str, Any]:
        """`export`: how the models were made; `normalisation`: what becomes of a byte before them, see Steps."""
        notes: dict[str, Any] = json.loads((self.folder / "made.json").read_text(encoding="utf-8"))
        return notes


def export(checkpoint: ImageCheckpoint, cache: Path) -> ExportedFiles:
    """The checkpoint's models, from the cache or made now."""
    tools = model_cache.versions(*_TOOLS, *(() if checkpoint.is_folder else _NAMED_TOOLS))
    decided_by = [_RECIPE, checkpoint.digest, tools]
    folder = model_cache.folder(cache, "images", decided_by, lambda made: _make(checkpoint, ExportedFiles(made), tools))
    return ExportedFiles(folder)


def _make(checkpoint: ImageCheckpoint, files: ExportedFiles, tools: dict[str, str]) -> None:
    import torch
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from embedrt_bench.images import networks

    network, normalisation = networks.load(checkpoint)
    pixels = torch.zeros(2, 3, *checkpoint.size)
    _export(network, pixels, files.plain)
    networks.simplify(network, pixels)
    _export(network, pixels, files.prepared)
    quant_pre_process(str(files.prepared), str(files.prepared), skip_symbolic_shape=True)
    versions = ", ".join(f"{name} {version}" for name, version in tools.items())
    notes = {"export": f"{versions}, opset {_OPSET}", "normalisation": normalisation}
    (files.folder / "made.json").write_text(json.dumps(notes), encoding="utf-8")


def _export(network: Any, pixels: Any, target: Path) -> None:
    import torch

    with torch.no_grad():
        torch.onnx.export(
            network,
            (pixels,),
            str(target),
            input_names=[INPUT],
            output_names=[_OUTPUT],
            dynamic_axes={INPUT: {0: "images"}, _OUTPUT: {0: "images"}},
            opset_version=_OPSET,
            dynamo=False,
        )


def has_attention(model: Path) -> bool:
    """Whether there is a softmax in it: transformers are quantised in another way than convolutional networks."""
    import onnx

    return any(node.op_type == "Softmax" for node in onnx.load(model, load_external_data=False).graph.node)
