"""What a peer needs to know of a checkpoint. The converter's reading is not used: an error there must not be shared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrt_bench.errors import BenchError


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face or sentence-transformers folder of a text encoder."""

    folder: Path
    digest: str  # SHA-256, hexadecimal, of the files that decide vectors
    model_type: str
    layers: int
    heads: int
    hidden_size: int
    positions: int  # the longest input that the weights admit, in tokens
    pooling: str  # "mean" or "cls"
    normalize: bool


def read(folder: Path) -> Checkpoint:
    """Raises BenchError when the folder is not a checkpoint that a peer can be made from."""
    config = _json(folder / "config.json")
    pooling, normalize = _modules(folder)
    names = ["config.json", "tokenizer.json", _weights(folder)]
    return Checkpoint(
        folder=folder,
        digest=_digest(folder, names, f"{pooling} {normalize}"),
        model_type=str(config.get("model_type", "")),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        hidden_size=int(config["hidden_size"]),
        positions=int(config["max_position_embeddings"]),
        pooling=pooling,
        normalize=normalize,
    )


def _modules(folder: Path) -> tuple[str, bool]:
    """Pooling and normalisation from modules.json; without it mean and none, as sentence-transformers has it."""
    if not (folder / "modules.json").is_file():
        return "mean", False
    pooling, normalize = "mean", False
    for module in _json(folder / "modules.json"):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        if kind == "Pooling":
            pooling = _pooling(_json(folder / module["path"] / "config.json"))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise BenchError(f"{folder} has a module {kind}; peers are made of Transformer, Pooling and Normalize only")
    return pooling, normalize


def _pooling(config: dict[str, Any]) -> str:
    mode = config.get("pooling_mode")
    chosen = [mode] if mode else [k for k, on in config.items() if k.startswith("pooling_mode_") and on]
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "mean": "mean", "cls": "cls"}
    if len(chosen) != 1 or chosen[0] not in names:
        raise BenchError(f"pooling {', '.join(map(str, chosen))}: peers are made with mean or cls pooling only")
    return names[chosen[0]]


def _weights(folder: Path) -> str:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return name
    raise BenchError(f"{folder} has neither model.safetensors nor pytorch_model.bin")


def _digest(folder: Path, names: list[str], choices: str) -> str:
    digest = hashlib.sha256(choices.encode())
    for name in names:
        if not (folder / name).is_file():
            raise BenchError(f"{folder} has no {name}")
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{path} is not JSON: {error}") from None
