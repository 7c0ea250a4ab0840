"""Small programs that take images, with every op that they may have, and pictures for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numeric_programs import Float32, normal, rng
from numpy.typing import NDArray

from embedrt_convert import calibrate
from embedrt_convert.archs._conv import conv, depthwise
from embedrt_convert.builder import PIXELS, Program
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.quantize import quantize
from embedrt_convert.quantize_image import quantize_windows

HEIGHT, WIDTH = 19, 23
IMAGE = Image(
    height=HEIGHT, width=WIDTH, resize=None, resample="bicubic", crop=None,
    scale=(0.017, 0.0175, 0.0174), offset=(-2.1, -2.0, -1.8),
)  # fmt: skip


def pictures(n: int) -> NDArray[np.uint8]:
    """Smooth and rough ones, [n, HEIGHT, WIDTH, 3]."""
    random = rng(n, 7)
    noise = random.integers(0, 256, (n, HEIGHT, WIDTH, 3))
    ramp = np.linspace(0, 255, WIDTH)[None, None, :, None]
    part = random.uniform(size=(n, 1, 1, 1))
    return (noise * part + ramp * (1 - part)).astype(np.uint8)


class _Maker:
    """Random weights of a size that keeps values near one."""

    def __init__(self) -> None:
        self.program = Program(0, 0, image_size=(HEIGHT, WIDTH))
        self._random = rng(11)

    def array(self, *shape: int, scale: float = 1.0) -> Float32:
        return normal(self._random, *shape, scale=scale)

    def linear(self, x: int, n: int, k: int, *residual: int, **options: Any) -> int:
        weight = self.array(n, k, scale=k**-0.5)
        return self.program.op(
            "linear", x, *residual, name="l", weight=weight, bias=self.array(n, scale=0.1), **options
        )

    def norm(self, x: int, columns: int) -> int:
        weight = 1 + self.array(columns, scale=0.1)
        return self.program.op("norm", x, name="n", weight=weight, bias=self.array(columns, scale=0.1), epsilon=1e-6)

    def conv(self, x: int, n: int, c: int, kernel: int, *residual: int, **options: Any) -> int:
        weight = self.array(n, c, kernel, kernel, scale=(c * kernel * kernel) ** -0.5)
        image = IMAGE if x == PIXELS else None
        bias = self.array(n, scale=0.3)
        return conv(self.program, x, *residual, name="c", weight=weight, bias=bias, image=image, **options)

    def depthwise(self, x: int, c: int, kernel: int, **options: Any) -> int:
        weight, bias = self.array(c, 1, kernel, kernel, scale=1 / kernel), self.array(c, scale=0.3)
        return depthwise(self.program, x, name="d", weight=weight, bias=bias, **options)


def network(precision: str) -> Program:
    """A convolutional network: padded pixels, residuals, squeeze and excite, every kind of window."""
    m = _Maker()
    x = m.conv(PIXELS, 20, 3, 3, stride=2, pads=(0, 1, 1, 1), activation="relu6")
    x = m.depthwise(x, 20, 3, pads=(1, 1, 1, 1), activation="hard_swish")
    squeezed = m.linear(m.program.op("pool", x), 8, 20, activation="relu")
    x = m.program.op("gate", x, m.linear(squeezed, 20, 8, activation="hard_sigmoid"))
    first = m.conv(x, 24, 20, 1)
    x = m.conv(first, 70, 24, 1, activation="relu")
    x = m.depthwise(x, 70, 5, pads=(2, 2, 2, 2), activation="silu")
    x = m.conv(x, 24, 70, 1, first)
    x = m.program.op("max_pool", x, kernel=3, stride=2, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1)
    branch = m.conv(x, 24, 24, 3, pads=(1, 1, 1, 1), activation="relu")
    x = m.conv(branch, 24, 24, 3, x, pads=(1, 1, 1, 1), activation="relu")
    x = m.conv(x, 33, 24, 2, stride=2, activation="gelu")
    pooled = m.program.op("pool", x)
    m.program.outputs = {"image_embedding": m.program.op("normalize", pooled), "patch_embeddings": x}
    return _quantised(m.program, precision)


def transformer(precision: str, columns: int = 36, heads: int = 3) -> Program:
    """A vision transformer, whose last layers are those of networks of floats: norm, depthwise, residual."""
    m = _Maker()
    x = m.conv(PIXELS, columns, 3, 5, stride=5)
    grid = (HEIGHT // 5) * (WIDTH // 5)
    x = m.program.op("place", x, name="p", prefix=m.array(2, columns), position=m.array(grid, columns, scale=0.3))
    angles = m.array(grid + 2, columns // heads)
    for _ in range(2):
        qkv = m.linear(m.norm(x, columns), 3 * columns, columns)
        qkv = m.program.op("rope", qkv, name="r", heads=heads, cos=np.cos(angles), sin=np.sin(angles))
        scale = (columns / heads) ** -0.5
        mixed = m.program.op("attention", qkv, heads=heads, scale=scale, precision="float32")
        x = m.linear(mixed, columns, columns, x)
        hidden = m.linear(m.norm(x, columns), 2 * 50, columns)
        x = m.linear(m.program.op("glu", hidden, activation="gelu"), columns, 50, x)
    x = m.norm(x, columns)
    keys = m.linear(x, 2 * columns, columns)
    query = m.array(columns)
    m.program.outputs = {
        "image_embedding": m.program.op("attention_pool", keys, name="q", query=query, heads=heads, scale=0.3),
        "class_token": m.program.op("pool", x, kind="first"),
        "patch_mean": m.program.op("pool", x, kind="mean", skip=2),
        "patch_embeddings": x,
    }
    return _quantised(m.program, precision)


def mixed_network(precision: str) -> Program:
    """Floats between windows of bytes, as ConvNeXt has them."""
    m = _Maker()
    x = m.norm(m.conv(PIXELS, 20, 3, 4, stride=4), 20)
    for _ in range(2):
        y = m.norm(m.depthwise(x, 20, 7, pads=(3, 3, 3, 3)), 20)
        x = m.linear(m.linear(y, 50, 20, activation="gelu"), 20, 50, x)
    x = m.conv(m.norm(x, 20), 33, 20, 2, stride=2)
    m.program.outputs = {"image_embedding": m.norm(m.program.op("pool", x), 33)}
    return _quantised(m.program, precision)


MADE = {"network": network, "transformer": transformer, "mixed_network": mixed_network}


def _quantised(program: Program, precision: str) -> Program:
    if precision == "fp32":
        return program
    return quantize(quantize_windows(program, calibrate.observe(program, pictures(16))), precision)
