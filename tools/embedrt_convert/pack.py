"""Tensors as the kernels read them (docs/format.md, "Tensor layouts"). All padding is zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _pad(data: Array, rows: int, columns: int) -> Array:
    """`data` [r, c] with zeros up to multiples of `rows` and `columns`; no copy when there is nothing to add."""
    down, right = -data.shape[0] % rows, -data.shape[1] % columns
    return np.pad(data, ((0, down), (0, right))) if down or right else data


def _row_major(data: Array, columns: int) -> Array:
    return _pad(np.atleast_2d(data), 1, columns)


def _panel_i8(weight: Array) -> Array:
    """[N, K] -> [N/16][K/4][16][4]: sixteen outputs with four consecutive inputs each."""
    padded = _pad(weight, 16, 4)
    n, k = padded.shape
    result: Array = padded.reshape(n // 16, 16, k // 4, 4).transpose(0, 2, 1, 3)
    return result


def _panel_f32(weight: Array) -> Array:
    """[N, K] -> [N/16][K][16]."""
    padded = _pad(weight, 16, 1)
    n, k = padded.shape
    result: Array = padded.reshape(n // 16, 16, k).transpose(0, 2, 1)
    return result


# name -> (id, dtype, packing)
_LAYOUTS: dict[str, tuple[int, str, Callable[[Array], Array]]] = {
    "vector_f32": (1, "<f4", lambda data: _row_major(data, 16)),
    "vector_i32": (2, "<i4", lambda data: _row_major(data, 16)),
    "matrix_f32": (3, "<f4", lambda data: _row_major(data, 16)),
    "table_i8": (4, "i1", lambda data: _row_major(data, 64)),
    "panel_i8": (5, "i1", _panel_i8),
    "panel_f32": (6, "<f4", _panel_f32),
}


def layout_id(layout: str) -> int:
    """The number of a layout in the file."""
    return _LAYOUTS[layout][0]


def pack(layout: str, data: Array) -> NDArray[np.uint8]:
    """The bytes of `data` in `layout`, a flat array.

    `data` is [columns] for the vector layouts and [rows, columns] for the others, of the layout's own number type;
    another type is a mistake of the caller and raises TypeError.
    """
    _, dtype, packing = _LAYOUTS[layout]
    if data.dtype != np.dtype(dtype):
        raise TypeError(f"{layout} holds {np.dtype(dtype)}, not {data.dtype}")
    return np.ascontiguousarray(packing(data), dtype).reshape(-1).view(np.uint8)
