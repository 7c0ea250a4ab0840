"""Makes OpenVINO's model from a checkpoint: exported by PyTorch, quantised by NNCF, cached.

Needs the exporter's packages and nncf, only here and only until the model is in the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedrt_bench.checkpoint import Checkpoint
from embedrt_bench.engines import model_cache
from embedrt_bench.engines.onnx_export import export

# Part of the cache's key: raise it when a change below makes other models.
_RECIPE = 1
_TOOLS = ("openvino", "nncf")
# Attention's two products, whose factors are both activations: in OpenVINO 2026.4 their int8 kernels were no faster
# than bfloat16 ones, and on CPUs with AMX gave vectors of cosine down to .65.
_FLOAT = r".*/attention/self/MatMul.*"


@dataclass(frozen=True)
class QuantizedFiles:
    """One folder of the cache, and the tokenizer's file."""

    folder: Path
    tokenizer: Path

    @property
    def int8(self) -> Path:
        """A folder of two files, the graph and its weights."""
        return self.folder / "int8"

    @property
    def compiled(self) -> Path:
        """Where the engine keeps what it compiles."""
        return self.folder / "compiled"

    def description(self) -> dict[str, str]:
        """How the model was made."""
        notes: dict[str, str] = json.loads((self.folder / "made.json").read_text(encoding="utf-8"))
        return notes


def quantize(checkpoint: Checkpoint, cache: Path, calibration: Sequence[str]) -> QuantizedFiles:
    """The checkpoint's int8 model, from the cache or made now (about a minute for 22 M parameters)."""
    tools = model_cache.versions(*_TOOLS)
    exported = export(checkpoint, cache)
    texts = hashlib.sha256(json.dumps(list(calibration)).encode()).hexdigest()
    # The exported folder's name stands for the checkpoint, the exporter and its tools.
    decided_by = [_RECIPE, exported.folder.name, texts, tools]

    def make(made: Path) -> None:
        ids = _token_ids(exported.tokenizer, calibration, checkpoint.positions)
        _quantize(exported.plain, made / "int8" / "model.xml", ids)
        notes = {
            **exported.description(),
            "int8": f"nncf {tools['nncf']} quantize, openvino {tools['openvino']}: transformer, preset performance "
            f"(symmetric activations), attention's products in float, calibrated on {len(ids)} texts",
        }
        (made / "made.json").write_text(json.dumps(notes), encoding="utf-8")

    return QuantizedFiles(model_cache.folder(cache, "openvino", decided_by, make), exported.tokenizer)


def _token_ids(tokenizer: Path, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    parsed = Tokenizer.from_file(str(tokenizer))
    parsed.no_padding()
    parsed.enable_truncation(max_tokens)
    return [encoding.ids for encoding in parsed.encode_batch_fast(list(texts))]


def _quantize(source: Path, target: Path, ids: list[list[int]]) -> None:
    import nncf
    import openvino

    def feeds(row: list[int]) -> dict[str, NDArray[np.int64]]:
        tokens = np.array([row], np.int64)
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}

    quantized: Any = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(ids, feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        # Symmetric: asymmetric activations, the default here, were up to a tenth slower, for .0003 of cosine.
        preset=nncf.QuantizationPreset.PERFORMANCE,
        ignored_scope=nncf.IgnoredScope(patterns=[_FLOAT]),
        subset_size=len(ids),
    )
    target.parent.mkdir()
    # What is still float32 stays so: halved, it would be widened again at every start.
    openvino.save_model(quantized, target, compress_to_fp16=False)
