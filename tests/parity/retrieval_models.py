"""Tiny random sparse and late-interaction models, saved in every format that they come in."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import torch
from families.case import randomise, save_tokenizer
from random_models import vocabulary, write_json
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaModel,
)

TOKENS = 163
SIZES: dict[str, Any] = {
    "vocab_size": TOKENS,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}
DISTILBERT = {"vocab_size": TOKENS, "dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 80}
TEXTS = ["the cat ran on the mat.", "hello world", "", "my password, is the dog " * 3, "how do I, reset. my cat"]


def save_masked_lm(folder: pathlib.Path, kind: str = "bert") -> None:
    """The masked language model alone, as naver's are."""
    torch.manual_seed(0)
    model: torch.nn.Module = (
        BertForMaskedLM(BertConfig(**SIZES))
        if kind == "bert"
        else DistilBertForMaskedLM(DistilBertConfig(max_position_embeddings=64, **DISTILBERT))
    )
    _saved(model, folder)


def save_sparse(folder: pathlib.Path, kind: str = "bert", max_active_dims: int | None = None) -> None:
    """As sentence-transformers saves it."""
    plain = folder.with_name(folder.name + "-plain")
    save_masked_lm(plain, kind)
    SparseEncoder(str(plain), device="cpu", max_active_dims=max_active_dims).save(str(folder))


def save_multi_vector(folder: pathlib.Path, expansion: dict[str, Any] | None, **lengths: int) -> None:
    """As sentence-transformers saves it."""
    plain = folder.with_name(folder.name + "-plain")
    torch.manual_seed(1)
    _saved(BertModel(BertConfig(**SIZES)), plain)
    modules = [
        Transformer(str(plain), query_expansion=expansion, **lengths),
        Dense(48, 32, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=[".", ","]),
        Normalize(module_input_name="token_embeddings"),
    ]
    prompts = {"query": "[Q] ", "document": "[D] "}
    MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts).save(str(folder))


def save_pylate(folder: pathlib.Path, **settings: Any) -> None:
    """As PyLate 1 saves it: two modules, and everything else in config_sentence_transformers.json."""
    save_multi_vector(folder, None)
    for name in ("2_MultiVectorMask", "3_Normalize"):
        shutil.rmtree(folder / name)
    kinds = (("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense"))
    entries = [{"name": str(n), "path": path, "type": kind} for n, (path, kind) in enumerate(kinds)]
    write_json(folder / "modules.json", entries)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    dense = json.loads((folder / "1_Dense" / "config.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in dense.items() if not key.startswith("module_")}
    write_json(folder / "1_Dense" / "config.json", kept)
    stated = {"model_type": "ColBERT", "prompts": {}, "similarity_fn_name": "MaxSim", **settings}
    write_json(folder / "config_sentence_transformers.json", stated)


def save_stanford(folder: pathlib.Path, **metadata: Any) -> None:
    """As Stanford's ColBERT saves it: the projection among the encoder's weights, settings in artifact.metadata."""
    folder.mkdir()
    torch.manual_seed(2)
    config = BertConfig(**SIZES)
    model = BertModel(config)
    randomise(model)
    weights = {f"bert.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file({**weights, "linear.weight": torch.randn(32, 48) * 0.2}, folder / "model.safetensors")
    write_json(folder / "config.json", {**config.to_dict(), "model_type": "bert", "architectures": ["HF_ColBERT"]})
    words = vocabulary(TOKENS)
    words[100:102] = ["[unused0]", "[unused1]"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    write_json(folder / "artifact.metadata", metadata)


def save_bge_m3(folder: pathlib.Path) -> None:
    """An encoder of BGE-M3's kind, pooled by its first token, with its two heads beside it."""
    torch.manual_seed(3)
    _saved(XLMRobertaModel(XLMRobertaConfig(**{**SIZES, "max_position_embeddings": 66})), folder)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "eos_token": "[SEP]"})
    modules = (("", "models.Transformer"), ("1_Pooling", "models.Pooling"), ("2_Normalize", "models.Normalize"))
    write_json(
        folder / "modules.json",
        [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in modules],
    )
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    for name, columns in (("sparse_linear", 1), ("colbert_linear", 40)):
        torch.save(torch.nn.Linear(48, columns).state_dict(), folder / f"{name}.pt")


def _saved(model: torch.nn.Module, folder: pathlib.Path) -> None:
    model.eval()
    randomise(model)
    model.save_pretrained(folder)  # type: ignore[operator]
    save_tokenizer(folder, TOKENS)
