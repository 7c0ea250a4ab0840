"""What a program's values of images are: grids of rows, after some of a prefix, or one row for each image."""

from __future__ import annotations

from embedrt_convert.builder import PIXELS, Program

_GRIDS = ("conv2d", "depthwise", "max_pool", "place", "gate")
_VECTORS = ("pool", "attention_pool")


def is_vector(program: Program, value: int) -> bool:
    """Whether a value has one row for each image, and not a grid of them."""
    while value != PIXELS:
        instruction = program.instructions[value - 1]
        if instruction.op in _VECTORS + _GRIDS:
            return instruction.op in _VECTORS
        value = instruction.inputs[0]
    return False


def prefix_of(program: Program, value: int) -> int:
    """How many rows of each image come before those of its grid."""
    while value != PIXELS:
        instruction = program.instructions[value - 1]
        if instruction.op == "place":
            return len(instruction.tensors["prefix"].data) if "prefix" in instruction.tensors else 0
        if instruction.op in _GRIDS and instruction.op != "gate":
            return 0
        value = instruction.inputs[0]
    return 0
