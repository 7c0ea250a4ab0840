"""The precision policy: a float program becomes one whose dot products are exact integers (docs/numerics.md).

int8: linear weights in int8, symmetric in ±127, one scale for each output column; lookup tables, positions too, in
int8, one scale for each row; attention in int8. Biases and norms stay float32: they are small.

fp32: the float program itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import Instruction, Program, Tensor

PRECISIONS = ("int8", "fp32")

_BLOCK = 4096  # rows quantised at a time: a table of 250,000 rows must not exist three times over


def quantize(program: Program, precision: str) -> Program:
    """The program in `precision`, one of PRECISIONS. Tensors shared by instructions stay shared."""
    if precision == "fp32":
        return program
    if precision != "int8":
        raise ValueError(f"precision is {precision!r}; choices: {', '.join(PRECISIONS)}")
    done: dict[int, dict[str, Tensor]] = {}
    instructions = [_int8(instruction, done) for instruction in program.instructions]
    return dataclasses.replace(program, instructions=instructions)


def _int8(instruction: Instruction, done: dict[int, dict[str, Tensor]]) -> Instruction:
    if instruction.op == "attention":
        return dataclasses.replace(instruction, attributes={**instruction.attributes, "precision": "int8"})
    if instruction.op == "lookup":
        role, layout = "table", "table_i8"
    elif instruction.op == "linear":
        role, layout = "weight", "panel_i8"
    else:
        return instruction
    tensor = instruction.tensors[role]
    if id(tensor) not in done:
        done[id(tensor)] = _int8_tensors(tensor, role, layout)
    return dataclasses.replace(instruction, tensors={**instruction.tensors, **done[id(tensor)]})


def _int8_tensors(tensor: Tensor, role: str, layout: str) -> dict[str, Tensor]:
    prefix = tensor.name.removesuffix(role)
    integers, scale = int8_rows(tensor.data)
    made = {role: Tensor(tensor.name, layout, integers), "scale": Tensor(prefix + "scale", "vector_f32", scale)}
    if role == "weight":
        sums = integers.sum(axis=1, dtype=np.int32)
        made["column_sums"] = Tensor(prefix + "column_sums", "vector_i32", sums)
    return made


def int8_rows(data: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 for each row of a float [rows, columns]: (int8 [rows, columns] in ±127, float32 scales [rows]).

    A row of zeros, or one too small for a normal float32 scale, is zeros with scale 0.
    """
    integers = np.empty(data.shape, np.int8)
    scale = np.empty(len(data), np.float32)
    for at in range(0, len(data), _BLOCK):
        rows = data[at : at + _BLOCK].astype(np.float64)
        step = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
        step[step < np.finfo(np.float32).tiny] = 0
        scale[at : at + _BLOCK] = step
        # The stored scale is the divisor, so that its own rounding is not a second error.
        divisor = np.where(step == 0, np.inf, step.astype(np.float64))
        integers[at : at + _BLOCK] = np.clip(np.rint(rows / divisor[:, None]), -127, 127)
    return integers, scale
