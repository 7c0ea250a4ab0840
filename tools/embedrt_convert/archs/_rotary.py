"""Rotary positions: the tables of the op `rope`, and the columns of queries and keys in the order that it pairs.

`rope` turns columns c and c + columns / 2 of every head of queries and keys together, by one angle for each position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.archs._config import number
from embedrt_convert.builder import Tensor
from embedrt_convert.errors import ConversionError

Array = NDArray[np.float32]
Rotation = tuple[Tensor, Tensor]  # cos and sin, each [positions, columns of a head]


def theta(config: Mapping[str, Any], default: float) -> float:
    """The base of the angles, as transformers writes it: in rope_parameters, or by itself as rope_theta.

    Raises ConversionError for scaled or partial rotations.
    """
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    parameters = config.get(key) or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":
        raise ConversionError(f"config.json has {key} of type {kind!r}; only 'default' is supported")
    for part in (parameters.get("partial_rotary_factor"), config.get("partial_rotary_factor")):
        if part not in (None, 1, 1.0):
            raise ConversionError(f"config.json has partial_rotary_factor {part!r}; only 1 is supported")
    return number(parameters, "rope_theta", number(config, "rope_theta", default))


def frequencies(base: float, columns: int) -> Array:
    """Radians a position, one for each pair of `columns` columns. Raises ConversionError when those are odd.

    In float32 where transformers is, exponents and quotient: after thousands of positions an ulp here shows.
    """
    if columns % 2:
        raise ConversionError(f"config.json implies heads of {columns} columns; rotations need an even number")
    exponents = np.arange(0, columns, 2, dtype=np.float32) / np.float32(columns)
    powers = np.power(float(base), exponents.astype(np.float64)).astype(np.float32)
    turns: Array = np.float32(1) / powers
    return turns


def rotation(turns: Array, positions: int, columns: int, name: str = "rotation") -> Rotation:
    """The tables for heads of `columns` columns. With fewer `turns` than pairs, the last pairs do not turn.

    Layers that turn alike must share the tables: the file then holds them once.
    """
    angles = np.zeros((positions, columns // 2), np.float32)
    angles[:, : len(turns)] = np.arange(positions, dtype=np.float32)[:, None] * turns
    both = np.tile(angles, 2).astype(np.float64)
    cos, sin = np.cos(both).astype(np.float32), np.sin(both).astype(np.float32)
    return Tensor(f"{name}.cos", "matrix_f32", cos), Tensor(f"{name}.sin", "matrix_f32", sin)


def paired(rows: Array, columns: int, turned: int, interleaved: bool) -> Array:
    """Rows of a weight or bias [heads · columns, …] of queries or keys in the order in which `rope` pairs columns.

    Of each head's `columns` the first `turned` turn: neighbours together where `interleaved`, else the first half with
    the second. Queries and keys in the same new order have the same products.
    """
    first = np.arange(0, turned, 2) if interleaved else np.arange(turned // 2)
    second = first + (1 if interleaved else turned // 2)
    still = np.arange(turned, columns).reshape(2, -1)
    order = np.concatenate([first, still[0], second, still[1]])
    heads = rows.reshape(-1, columns, *rows.shape[1:])
    return heads[:, order].reshape(rows.shape)
