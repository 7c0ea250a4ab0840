"""Makes ONNX Runtime's int8 model of an image checkpoint, cached."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedrt_bench.engines import model_cache
from embedrt_bench.images.onnx_export import INPUT, ExportedFiles, has_attention

# Part of the cache's key: raise it when a change below makes other models.
_RECIPE = 1
# Of each tensor's values when scales are calibrated: the rest is cut off.
_PERCENTILE = 99.99


@dataclass(frozen=True)
class QuantizedFile:
    model: Path
    description: str


def quantize(exported: ExportedFiles, cache: Path, calibration: NDArray[np.float32], decided_by: str) -> QuantizedFile:
    """The int8 model, from the cache or made now. `calibration` is normalised [n, 3, height, width].

    `decided_by` stands for the calibration pictures.
    """
    tools = model_cache.versions("onnxruntime", "onnx")

    def make(made: Path) -> None:
        target = made / "int8.onnx"
        if has_attention(exported.prepared):
            _dynamic(exported.prepared, target)
            how = "quantize_dynamic of the linear layers, int8 weights per channel, uint8 activations per tensor"
        else:
            _static(exported.prepared, target, calibration)
            how = (
                f"quantize_static (QDQ), int8 weights per channel, uint8 activations, percentile {_PERCENTILE} over "
                f"{len(calibration)} pictures"
            )
        note = {"int8": f"onnxruntime {tools['onnxruntime']} quant_pre_process, {how}"}
        (made / "made.json").write_text(json.dumps(note), encoding="utf-8")

    keys = [_RECIPE, exported.folder.name, decided_by, tools]
    folder = model_cache.folder(cache, "images-onnxruntime", keys, make)
    return QuantizedFile(folder / "int8.onnx", json.loads((folder / "made.json").read_text(encoding="utf-8"))["int8"])


def _dynamic(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Not through onnxruntime.transformers.optimizer, which the texts' models gain from: a fused attention or
    # SkipLayerNormalization made ViT-B/16 a quarter slower. Static scales were slower too.
    quantize_dynamic(
        str(source),
        str(target),
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT, "MatMulConstBOnly": True},
    )


def _static(source: Path, target: Path, calibration: NDArray[np.float32]) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    # Unsigned activations: signed ones take kernels of a third of the speed.
    quantize_static(
        str(source),
        str(target),
        _reader(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"CalibPercentile": _PERCENTILE},
    )


def _reader(calibration: NDArray[np.float32]) -> object:
    """One picture after another, as onnxruntime asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self, pictures: Sequence[NDArray[np.float32]]) -> None:
            self._left: Iterator[NDArray[np.float32]] = iter(pictures)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            picture = next(self._left, None)
            return None if picture is None else {INPUT: picture[None]}

    return Reader(list(calibration))
