"""The precision policy: a float program becomes one whose dot products are exact integers (docs/numerics.md).

int8: linear weights in int8, symmetric in ±127, one scale for each output column, and rows of 8 bits for their input;
lookup tables, positions too, in int8, one scale for each row; attention in int8. Biases and norms stay float32: they
are small. An instruction may be *finer* (`choose_precision` says which): a linear with rows of 16 bits, a lookup with
two int8 tables, the second of what the first left, attention in float32.

fp32: the float program itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import IDS, Instruction, Program, Tensor

PRECISIONS = ("int8", "fp32")

_BLOCK = 4096  # rows quantised at a time: a table of 250,000 rows must not exist three times over


def quantize(program: Program, precision: str, finer: Collection[int] = ()) -> Program:
    """The program in `precision`, one of PRECISIONS; instruction i is finer where i is in `finer`.

    Tensors shared by instructions stay shared.
    """
    if precision == "fp32":
        return program
    if precision != "int8":
        raise ValueError(f"precision is {precision!r}; choices: {', '.join(PRECISIONS)}")
    return Int8().program(program, finer)


class Int8:
    """Makes int8 programs of float ones; a tensor that several of them have is quantised once."""

    def __init__(self) -> None:
        self._done: dict[tuple[int, bool], tuple[Tensor, dict[str, Tensor]]] = {}

    def program(self, program: Program, finer: Collection[int] = ()) -> Program:
        """Instruction i is finer where i is in `finer`. The values of what follows a finer lookup get new numbers."""
        made = dataclasses.replace(program, instructions=[], outputs={})
        values = [IDS]
        for number, instruction in enumerate(program.instructions):
            inputs = tuple(values[value] for value in instruction.inputs)
            for each in self._int8(dataclasses.replace(instruction, inputs=inputs), number in finer):
                made.instructions.append(each)
            last = len(made.instructions)
            if instruction.op == "lookup" and number in finer:
                made.instructions.append(Instruction("add", (last - 1, last), {}, {}))
                last += 1
            values.append(last)
        made.outputs = {name: values[value] for name, value in program.outputs.items()}
        return made

    def _int8(self, instruction: Instruction, finer: bool) -> Iterator[Instruction]:
        if instruction.op == "attention":
            precision = "float32" if finer else "int8"
            yield dataclasses.replace(instruction, attributes={**instruction.attributes, "precision": precision})
        elif instruction.op == "lookup":
            for left in (False, True) if finer else (False,):
                tensors = self._tensors(instruction.tensors["table"], "table", "table_i8", left)
                yield dataclasses.replace(instruction, tensors={**instruction.tensors, **tensors})
        elif instruction.op == "linear":
            tensors = self._tensors(instruction.tensors["weight"], "weight", "panel_i8")
            attributes = {**instruction.attributes, "input_bits": 16 if finer else 8}
            yield dataclasses.replace(instruction, tensors={**instruction.tensors, **tensors}, attributes=attributes)
        else:
            yield instruction

    def _tensors(self, tensor: Tensor, role: str, layout: str, left: bool = False) -> dict[str, Tensor]:
        """The int8 tensors that stand for a float one; `left`: for what those leave of it."""
        key = (id(tensor), left)
        if key not in self._done:
            of = tensor
            if left:
                first = self._tensors(tensor, role, layout)
                rest = tensor.data - first[role].data * first["scale"].data[:, None]
                of = Tensor(tensor.name.removesuffix(role) + "rest." + role, tensor.layout, rest)
            self._done[key] = (tensor, _int8_tensors(of, role, layout))
        return self._done[key][1]


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
