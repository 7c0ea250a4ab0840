"""Programs in which a channel stands at a hundred times the others, as in many trained models: the same function.

What a norm gives to linear layers gets such channels, by its weight, or by its bias where the norm's value also goes on
as a residual; the layers that read it are changed to take them back. Their weights there are whole numbers of steps, so
that int8 holds them exactly: what it costs weights is not what is looked at here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import Instruction, Program, Tensor

SIZE = 100.0
CHANNELS = (3, 11)


def with_outliers(program: Program) -> tuple[Program, int]:
    """The program with outliers in every norm that linear layers alone read, and how many norms those are."""
    instructions = list(program.instructions)
    changed = 0
    for number, norm in enumerate(program.instructions):
        value = number + 1
        readers = [i for i, reader in enumerate(program.instructions) if value in reader.inputs]
        if norm.op != "norm" or value in program.outputs.values():
            continue
        if any(instructions[i].op != "linear" for i in readers):
            continue
        if all(instructions[i].inputs[1:] != (value,) for i in readers):
            instructions[number] = _scaled(norm)
            for i in readers:
                instructions[i] = _taking_back(instructions[i], 1 / SIZE, 0.0)
        else:
            instructions[number] = _with(norm, "bias", _added(_bias(norm), SIZE))
            for i in readers:
                one = instructions[i]
                if one.inputs[0] == value:
                    instructions[i] = one = _taking_back(one, 1.0, SIZE)
                if one.inputs[1:] == (value,):
                    instructions[i] = _with(one, "bias", _added(_bias(one), -SIZE))
        changed += 1
    return dataclasses.replace(program, instructions=instructions), changed


def _scaled(norm: Instruction) -> Instruction:
    for role in ("weight", "bias"):
        if role in norm.tensors:
            data = norm.tensors[role].data.copy()
            data[list(CHANNELS)] *= np.float32(SIZE)
            norm = _with(norm, role, data)
    return norm


def _taking_back(linear: Instruction, factor: float, constant: float) -> Instruction:
    """For an input whose outliers are those of the old one times 1 / factor, plus `constant`."""
    weight = linear.tensors["weight"].data.copy()
    rest = np.delete(weight, CHANNELS, axis=1)
    step = np.abs(rest).max(axis=1) / 127
    bias = _bias(linear).astype(np.float64)
    for channel in CHANNELS:
        steps = np.clip(np.rint(weight[:, channel] * factor / step), -127, 127)
        weight[:, channel] = steps * step
        bias -= constant * (steps * step)
    return _with(_with(linear, "weight", weight), "bias", bias.astype(np.float32))


def _bias(instruction: Instruction) -> NDArray[np.float32]:
    """Of a norm or a linear."""
    if "bias" in instruction.tensors:
        return instruction.tensors["bias"].data
    return np.zeros(len(instruction.tensors["weight"].data), np.float32)


def _added(vector: NDArray[np.float32], size: float) -> NDArray[np.float32]:
    vector = vector.copy()
    vector[list(CHANNELS)] += np.float32(size)
    return vector


def _with(instruction: Instruction, role: str, data: NDArray[np.float32]) -> Instruction:
    layout = "panel_f32" if role == "weight" and instruction.op == "linear" else "vector_f32"
    name = instruction.tensors[role].name if role in instruction.tensors else f"outliers{id(data)}.{role}"
    tensors = {**instruction.tensors, role: Tensor(name, layout, data)}
    return dataclasses.replace(instruction, tensors=tensors)
