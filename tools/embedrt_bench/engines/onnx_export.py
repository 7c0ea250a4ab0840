"""Makes ONNX Runtime's models from a checkpoint: exported by PyTorch, fused, quantised, cached.

Needs torch and transformers, only here and only until the models are in the cache.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from embedrt_bench.checkpoint import Checkpoint
from embedrt_bench.engines import model_cache
from embedrt_bench.errors import BenchError

# Part of the cache's key: raise it when a change below makes other models.
_RECIPE = 1
_OPSET = 14
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUT = "last_hidden_state"
_TOOLS = ("torch", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportedFiles:
    """One folder of the cache."""

    folder: Path

    @property
    def plain(self) -> Path:
        """float32 as exported, no fusion: the reference for fidelity."""
        return self.folder / "plain.onnx"

    @property
    def fused(self) -> Path:
        return self.folder / "fused.onnx"

    @property
    def int8(self) -> Path:
        return self.folder / "int8.onnx"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    def description(self, *steps: str) -> dict[str, str]:
        """How the model was made: the export, and what the named steps did to it."""
        notes: dict[str, str] = json.loads((self.folder / "made.json").read_text(encoding="utf-8"))
        return {step: notes[step] for step in ("export", *steps)}


def export(checkpoint: Checkpoint, cache: Path) -> ExportedFiles:
    """The checkpoint's models, from the cache or made now (about half a minute for 22 M parameters)."""
    if checkpoint.model_type != "bert":
        raise BenchError(f"no ONNX Runtime peer for model type {checkpoint.model_type!r}: fusions are known for bert")
    tools = model_cache.versions(*_TOOLS)
    decided_by = [_RECIPE, checkpoint.digest, tools]
    return ExportedFiles(
        model_cache.folder(cache, "onnxruntime", decided_by, lambda made: _make(checkpoint, ExportedFiles(made), tools))
    )


def _make(checkpoint: Checkpoint, files: ExportedFiles, tools: dict[str, str]) -> None:
    shutil.copy(checkpoint.folder / "tokenizer.json", files.tokenizer)
    _export_plain(checkpoint, files.plain)
    fuse(files.plain, files.fused, checkpoint.heads, checkpoint.hidden_size, checkpoint.layers)
    quantise(files.fused, files.int8)
    runtime = f"onnxruntime {tools['onnxruntime']}"
    notes = {
        "export": f"torch {tools['torch']}, transformers {tools['transformers']}, opset {_OPSET}",
        "fused": f"{runtime} transformers optimizer, every layer's attention, GELU and norms fused",
        "int8": f"{runtime} quantize_dynamic, int8 weights per channel, uint8 activations per tensor",
    }
    (files.folder / "made.json").write_text(json.dumps(notes), encoding="utf-8")


def _export_plain(checkpoint: Checkpoint, target: Path) -> None:
    import torch
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    class Encoder(torch.nn.Module):
        """The tracer passes inputs by position, and the model's own forward has others between ours."""

        def __init__(self) -> None:
            super().__init__()
            # The eager attention is the form that the optimizer recognises.
            self.model = AutoModel.from_pretrained(
                str(checkpoint.folder), attn_implementation="eager", dtype=torch.float32, local_files_only=True
            ).eval()

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            output = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types)
            hidden: torch.Tensor = output.last_hidden_state
            return hidden

    ids = torch.ones(2, 8, dtype=torch.int64)
    with torch.no_grad():
        torch.onnx.export(
            Encoder(),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(target),
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*_INPUTS, _OUTPUT)},
            opset_version=_OPSET,
            dynamo=False,
        )


def fuse(source: Path, target: Path, heads: int, hidden_size: int, layers: int) -> None:
    """A BERT's graph with its operators fused. Raises BenchError as `check_fusions` does."""
    from onnxruntime.transformers.optimizer import optimize_model

    model = optimize_model(str(source), "bert", num_heads=heads, hidden_size=hidden_size, opt_level=1)
    check_fusions(model.get_fused_operator_statistics(), layers)
    model.save_model_to_file(str(target))


def check_fusions(counts: dict[str, int], layers: int) -> None:
    """Raises BenchError unless every layer was fused: a slow peer would flatter us."""
    expected = {
        "EmbedLayerNormalization": 1,
        "Attention": layers,
        "BiasGelu": layers,
        "SkipLayerNormalization": 2 * layers,
    }
    for name, count in expected.items():
        found = counts.get(name, 0)
        if found != count:
            raise BenchError(f"the optimizer fused {found} {name}, not {count}: the comparison would be unfair")


def quantise(source: Path, target: Path) -> None:
    """Its products with weights in int8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Signed weights: unsigned ones took kernels of less than half the speed. Per channel: with one scale for a whole
    # weight the mean cosine fell from .993 to .964 at the same speed. The embedding table is quantised too: it costs
    # .0004 of cosine and saves 36 MB. The default type is stated since shapes are not inferred through fused operators.
    quantize_dynamic(
        str(source),
        str(target),
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
