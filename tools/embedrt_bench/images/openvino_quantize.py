"""Makes OpenVINO's int8 model of an image checkpoint, cached: quantised by NNCF."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_bench.engines import model_cache
from embedrt_bench.images.onnx_export import ExportedFiles, has_attention

# Part of the cache's key: raise it when a change below makes other models.
_RECIPE = 1


@dataclass(frozen=True)
class QuantizedFiles:
    model: Path  # the graph; its weights are beside it
    compiled: Path  # where the engine keeps what it compiles
    description: str


def quantize(exported: ExportedFiles, cache: Path, calibration: NDArray[np.float32], decided_by: str) -> QuantizedFiles:
    """The int8 model, from the cache or made now. `calibration` is normalised [n, 3, height, width].

    `decided_by` stands for the calibration pictures.
    """
    tools = model_cache.versions("openvino", "nncf")

    def make(made: Path) -> None:
        transformer = has_attention(exported.prepared)
        _quantize(exported.prepared, made / "int8" / "model.xml", calibration, transformer)
        kind = "transformer, attention's products in float" if transformer else "convolutions"
        note = {
            "int8": f"nncf {tools['nncf']} quantize, openvino {tools['openvino']}: {kind}, preset performance "
            f"(symmetric activations), calibrated on {len(calibration)} pictures"
        }
        (made / "made.json").write_text(json.dumps(note), encoding="utf-8")

    keys = [_RECIPE, exported.folder.name, decided_by, tools]
    folder = model_cache.folder(cache, "images-openvino", keys, make)
    description = json.loads((folder / "made.json").read_text(encoding="utf-8"))["int8"]
    return QuantizedFiles(folder / "int8" / "model.xml", folder / "compiled", description)


def _quantize(source: Path, target: Path, calibration: NDArray[np.float32], transformer: bool) -> None:
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    options: dict[str, Any] = {}
    if transformer:
        options = {
            "model_type": nncf.ModelType.TRANSFORMER,
            "ignored_scope": nncf.IgnoredScope(names=_products_of_activations(model)),
        }
    quantized: Any = nncf.quantize(
        model,
        nncf.Dataset(list(calibration[:, None])),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(calibration),
        **options,
    )
    target.parent.mkdir()
    openvino.save_model(quantized, target, compress_to_fp16=False)


def _products_of_activations(model: Any) -> list[str]:
    """The names of matrix products without weights: attention's two."""

    def is_weight(output: Any) -> bool:
        node = output.get_node()
        kind = node.get_type_name()
        return kind == "Constant" or (kind in ("Convert", "Transpose") and is_weight(node.input_value(0)))

    products = [op for op in model.get_ops() if op.get_type_name() == "MatMul"]
    return [op.get_friendly_name() for op in products if not any(is_weight(value) for value in op.input_values())]
