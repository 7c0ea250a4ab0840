"""DINOv2, with and without registers: a ViT whose layers scale each column of what they add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.archs._config import activation, number, positive, refuse_unless, side
from embedrt_convert.archs._patches import image_of, outputs, patch_grid, patches, placed
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Checkpoint

MODEL_TYPES = ("dinov2", "dinov2_with_registers")

_TOKEN = "embeddings.cls_token"
_IGNORED = (r"embeddings\.mask_token", r"classifier\.(weight|bias)")


def lower_images(checkpoint: Checkpoint) -> Program:
    """The program. image_embedding is the class token after the last norm, as the reference's pooled output."""
    config, image = checkpoint.config, image_of(checkpoint)
    refuse_unless(config, pruned_heads={})
    grid = patch_grid(config, image)
    weights = Weights(checkpoint.tensors, anchor=_TOKEN, ignored=_IGNORED)
    program = Program(0, 0, (image.height, image.width))
    layers = Transformer.of(program, weights, config, 1e-6)
    hidden = layers.hidden

    patch, trained = side(config, "patch_size"), side(config, "image_size") // side(config, "patch_size")
    projection = "embeddings.patch_embeddings.projection"
    weight = weights.take(f"{projection}.weight", hidden, 3, patch, patch)
    x = patches(program, image, weight, weights.take(f"{projection}.bias", hidden))
    # The reference interpolates positions with antialiasing in the model with registers only.
    with_registers = config["model_type"] == "dinov2_with_registers"
    count = int(number(config, "num_register_tokens", 4)) if with_registers else 0
    x = placed(
        program,
        x,
        grid,
        [weights.take(_TOKEN, 1, 1, hidden)],
        weights.take("embeddings.position_embeddings", 1, 1 + trained**2, hidden)[0],
        registers=weights.take("embeddings.register_tokens", 1, count, hidden)[0] if with_registers else None,
        antialias=with_registers,
    )
    for layer in range(positive(config, "num_hidden_layers")):
        x = _layer(layers, config, x, f"encoder.layer.{layer}", f"layer.{layer}")
    rows = layers.norm(x, "layernorm", "norm")

    token = program.op("pool", rows, kind="first")
    program.outputs = {"image_embedding": token, "class_token": token, **outputs(program, rows, 1 + count)}
    if image.labels is not None:
        program.outputs["logits"] = _logits(layers, token, program.outputs["patch_mean"], len(image.labels))
    weights.finish()
    return program


def _layer(layers: Transformer, config: Mapping[str, Any], x: int, source: str, name: str) -> int:
    qkv_bias = config.get("qkv_bias", True) is not False
    at = f"{source}.attention"
    x = layers.attention(
        layers.norm(x, f"{source}.norm1", f"{name}.attention_norm"),
        x,
        sources=(f"{at}.attention.query", f"{at}.attention.key", f"{at}.attention.value", f"{at}.output.dense"),
        biases=(qkv_bias, qkv_bias, qkv_bias, True),
        name=name,
        scale=f"{source}.layer_scale1.lambda1",
    )
    y = layers.norm(x, f"{source}.norm2", f"{name}.ffn_norm")
    scale = f"{source}.layer_scale2.lambda1"
    inner = int(layers.hidden * number(config, "mlp_ratio", 4))
    if not config.get("use_swiglu_ffn"):
        return layers.feed_forward(
            y,
            x,
            sources=(f"{source}.mlp.fc1", f"{source}.mlp.fc2"),
            name=name,
            inner=inner,
            activation=activation(config),
            scale=scale,
        )
    # Two thirds of it, so that three matrices have the weights of two, and then whole eights.
    inner = (int(inner * 2 / 3) + 7) // 8 * 8
    y = layers.linear(y, source=f"{source}.mlp.weights_in", name=f"{name}.ffn_in", n=2 * inner, k=layers.hidden)
    y = layers.program.op("glu", y, activation="silu")
    out = f"{source}.mlp.weights_out"
    return layers.linear(y, x, source=out, name=f"{name}.ffn_out", n=layers.hidden, k=inner, scale=scale)


def _logits(layers: Transformer, token: int, mean: int, labels: int) -> int:
    """A classifier on the class token and the mean of the patches, one after the other."""
    weight = layers.weights.take("classifier.weight", labels, 2 * layers.hidden, outside=True)
    bias = layers.weights.take("classifier.bias", labels, outside=True)
    of_mean = weight[:, layers.hidden :].copy()
    of_token = weight[:, : layers.hidden].copy()
    half = layers.program.op("linear", mean, name="classifier.patches", weight=of_mean)
    return layers.program.op("linear", token, half, name="classifier.class", weight=of_token, bias=bias)
