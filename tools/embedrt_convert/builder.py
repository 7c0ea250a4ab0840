"""Programs: a straight line of coarse ops over named tensors (docs/format.md, "The program section").

A lowering builds a float program with `Program.op`; `quantize` turns it into another `Program` with the same values,
and `reference` runs either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.optable import AttributeValue, op_table

IDS = PIXELS = 0  # the value that every program starts from: token ids to `lookup`, pixels to `conv2d`

# How a float tensor is stored, by the role that it plays; every other role is a vector.
_FLOAT_LAYOUTS = {
    ("lookup", "table"): "matrix_f32",
    ("linear", "weight"): "panel_f32",
    ("conv2d", "weight"): "panel_f32",
    ("conv2d", "bias"): "matrix_f32",
    ("depthwise", "weight"): "matrix_f32",
    ("place", "prefix"): "matrix_f32",
    ("place", "position"): "matrix_f32",
    ("attention", "bias"): "matrix_f32",
    ("rope", "cos"): "matrix_f32",
    ("rope", "sin"): "matrix_f32",
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor under its logical shape: [columns] for the vector layouts, [rows, columns] for the others.

    `data` is float32, int8 or int32, as `layout` says. Two instructions that name the same object share its bytes.
    """

    name: str
    layout: str
    data: NDArray[Any]


@dataclass(frozen=True)
class Instruction:
    """One op. Instruction i of a program defines value i + 1. Attributes are complete: defaults are filled in."""

    op: str
    inputs: tuple[int, ...]
    tensors: Mapping[str, Tensor]
    attributes: Mapping[str, AttributeValue]


@dataclass
class Program:
    """Instructions in order, and which values are outputs (name -> value).

    `vocabulary` and `max_tokens` are 0 where the program takes no texts, `image_size` (height, width) where no images.
    """

    vocabulary: int
    max_tokens: int
    image_size: tuple[int, int] = (0, 0)
    instructions: list[Instruction] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)

    def op(
        self,
        op: str,
        *inputs: int,
        name: str = "",
        **operands: NDArray[np.float32] | Tensor | AttributeValue | None,
    ) -> int:
        """Append an instruction and return the value that it defines.

        Keywords are the op's tensor roles (float32 arrays, a Tensor that instructions share, or None for an optional
        one) and attributes, by the names of the op table. `name` is the prefix of the tensors' names. Raises ValueError
        for a keyword or choice that the op does not have: a mistake in a lowering, not in a checkpoint.
        """
        spec = op_table()[op]
        if not spec.min_inputs <= len(inputs) <= spec.max_inputs:
            raise ValueError(f"{op} takes {spec.min_inputs} to {spec.max_inputs} inputs, not {len(inputs)}")
        tensors = {}
        for role in spec.tensor_roles:
            data = operands.pop(role, None)
            if isinstance(data, np.ndarray):
                layout = _FLOAT_LAYOUTS.get((op, role), "vector_f32")
                tensors[role] = Tensor(f"{name}.{role}", layout, data)
            elif isinstance(data, Tensor):
                tensors[role] = data
        attributes: dict[str, AttributeValue] = {}
        for attribute in spec.attributes:
            value = operands.pop(attribute.name, attribute.default)
            assert isinstance(value, (int, float, str))
            attributes[attribute.name] = attribute.canonical(value)
        if operands:
            raise ValueError(f"{op} has no tensor or attribute {', '.join(operands)}")
        self.instructions.append(Instruction(op, inputs, tensors, attributes))
        return len(self.instructions)

    def tensors(self) -> list[Tensor]:
        """Every tensor once, in order of first use."""
        unique = {id(t): t for instruction in self.instructions for t in instruction.tensors.values()}
        return list(unique.values())
