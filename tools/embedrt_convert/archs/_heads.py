"""What follows an encoder: pooling and what comes behind it, a classifier, a vector or a weight for each token."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from embedrt_convert.archs._encoder import Encoder
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import (
    Checkpoint,
    Classifier,
    Dense,
    Module,
    MultiVector,
    Pooling,
    Splade,
    TokenHeads,
)


def lower_head(family: ModuleType, encoder: Encoder, checkpoint: Checkpoint) -> None:
    """Append what follows the encoder and name the outputs. Raises ConversionError."""
    program, head = encoder.program, checkpoint.head
    if isinstance(head, Classifier):
        if not hasattr(family, "classifier"):
            raise ConversionError(
                f"a classifier of model_type {checkpoint.config['model_type']!r} is not supported: without its "
                "architectures, config.json is that of an embedding model"
            )
        logits = family.classifier(encoder, checkpoint.config, head.count)
        program.outputs = {"token_embeddings": encoder.rows, "logits": logits}
        return
    if isinstance(head, Splade):
        if not hasattr(family, "vocabulary_logits"):
            raise ConversionError(
                f"a sparse encoder of model_type {checkpoint.config['model_type']!r} is not supported: its masked "
                "language model is not known"
            )
        greatest = program.op("pool", family.vocabulary_logits(encoder, checkpoint.config), kind="max")
        program.outputs = {"sparse_embedding": program.op("activate", greatest, activation="log1p_relu")}
        return
    x = lower_modules(program, encoder.rows, checkpoint.modules, encoder.hidden)
    if isinstance(head, MultiVector):
        program.outputs = {"multi_vector_embedding": x}
        return
    program.outputs = {"token_embeddings": encoder.rows, "sentence_embedding": x}
    if isinstance(head, TokenHeads):
        weights = _dense(program, encoder.rows, head.weights, encoder.hidden, "token_weights")
        vectors = _dense(program, encoder.rows, head.vectors, encoder.hidden, "token_vectors")
        program.outputs |= {"token_weights": weights, "multi_vector_embedding": program.op("normalize", vectors)}


def lower_modules(program: Program, rows: int, modules: tuple[Module, ...], columns: int) -> int:
    """Append `modules` to the encoder's last value `rows` [rows, columns], and return the last value."""
    x = rows
    for number, module in enumerate(modules):
        if isinstance(module, Pooling):
            x = program.op("pool", x, kind=module.kind)
        elif isinstance(module, Dense):
            x = _dense(program, x, module, columns, f"dense.{number}")
            columns = len(module.weight)
        else:
            x = program.op("normalize", x)
    return x


def _dense(program: Program, x: int, dense: Dense, columns: int, name: str) -> int:
    weight = dense.weight.astype(np.float32)
    bias = None if dense.bias is None else dense.bias.astype(np.float32)
    if weight.ndim != 2 or weight.shape[1] != columns or (bias is not None and bias.shape != weight.shape[:1]):
        raise ConversionError(
            f"{dense.name}: linear.weight has the shape {list(weight.shape)}, its input {columns} columns"
        )
    residual: tuple[int, ...] = ()
    if isinstance(dense.residual, str):
        if len(weight) != columns:
            raise ConversionError(
                f"{dense.name}: a residual from {columns} to {len(weight)} columns needs residual.weight"
            )
        residual = (x,)
    elif dense.residual is not None:
        if dense.residual.shape != weight.shape:
            raise ConversionError(
                f"{dense.name}: residual.weight has the shape {list(dense.residual.shape)}, not {list(weight.shape)}"
            )
        residual = (program.op("linear", x, name=f"{name}.residual", weight=dense.residual.astype(np.float32)),)
    return program.op("linear", x, *residual, name=name, weight=weight, bias=bias, activation=dense.activation)
