"""The precision policy of convolutional networks: values of bytes with steps that are fixed at conversion.

A window's taps share one sum, so its pixels share one step for each channel; steps fixed from pictures let a
convolution write bytes straight from its sums. A value's steps and zero point are folded into the weights, scales and
biases around it (docs/format.md, "conv2d"), so a file holds none of them but the zero point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import PIXELS, Instruction, Program, Tensor
from embedrt_convert.calibrate import Range
from embedrt_convert.quantize import int8_rows

Floats = NDArray[np.float64]

# Activations that bytes with a zero point of 0 and a top of at most 6 do by themselves.
_SATURATING = ("none", "relu", "relu6")
_LEAST_STEP = 2.0**-60


@dataclass(frozen=True)
class Bytes:
    """x = step · (byte − zero); `step` has one column, or one for each of the value's."""

    step: Floats
    zero: int


def has_windows(program: Program) -> bool:
    """Whether some op other than the first convolution reads bytes of an image."""
    return any(each.op in ("conv2d", "depthwise") and each.inputs[0] != PIXELS for each in program.instructions)


def one_step(seen: Range) -> Bytes:
    """One step for all columns, which covers all of them.

    A step for each column is narrower, but clips what the pictures did not show: EfficientNet-Lite0's logits then have
    a cosine of .64 to those in fp32, calibrated on generated pictures, and of .96 on photographs, where one step for
    all has .993 with either.
    """
    low, high = -float(seen.low.min()), float(seen.high.max())
    step = max((low + high) / 255, _LEAST_STEP)
    zero = round(low / step)
    # Both ends within 0…255 of the rounded zero point.
    step = max(low / zero if zero else 0.0, high / (255 - zero) if zero < 255 else 0.0, _LEAST_STEP)
    return Bytes(np.array([step]), zero)


def column_steps(seen: Range) -> Bytes:
    """A step for each column of a value of floats, whose columns may be of very different size.

    Twice the range that was seen, and at least an eighth of the widest column's: what the pictures did not show is then
    seldom clipped.
    """
    widest = np.maximum(-seen.low.min(), seen.high.max())
    reach = np.clip(2 * np.maximum(-seen.low, seen.high), widest / 8, widest)
    return Bytes(np.maximum(reach / 127, _LEAST_STEP), 128)


def quantize_windows(program: Program, ranges: Mapping[int, Range]) -> Program:
    """The float program with int8 convolutions; other ops are left as they are."""
    return _Pass(program, ranges).run()


class _Pass:
    def __init__(self, program: Program, ranges: Mapping[int, Range]) -> None:
        self._program = program
        self._ranges = ranges
        self._out: list[Instruction] = []
        self._floats: dict[int, int] = {PIXELS: PIXELS}  # value of the float program -> the same of the new one
        self._bytes: dict[int, tuple[int, Bytes]] = {PIXELS: (PIXELS, Bytes(np.ones(1), 0))}
        self._wants_floats = self._readers_of_floats()

    def run(self) -> Program:
        for number, instruction in enumerate(self._program.instructions, 1):
            if instruction.op in ("conv2d", "depthwise"):
                self._convolution(number, instruction)
            elif instruction.op == "max_pool" and number not in self._wants_floats:
                self._max_pool(number, instruction)
            elif instruction.op == "gate" and number not in self._wants_floats:
                self._gate(number, instruction)
            elif instruction.op == "pool" and instruction.inputs[0] in self._bytes:
                self._pool(number, instruction)
            else:
                inputs = tuple(self._floats[value] for value in instruction.inputs)
                self._out.append(dataclasses.replace(instruction, inputs=inputs))
                self._floats[number] = len(self._out)
        outputs = {name: self._floats[value] for name, value in self._program.outputs.items()}
        return dataclasses.replace(self._program, instructions=self._out, outputs=outputs)

    def _readers_of_floats(self) -> set[int]:
        """Values that something reads which cannot take bytes."""
        found = set(self._program.outputs.values())
        # From the end: a max_pool or gate whose result must be floats reads floats.
        for number, each in reversed(list(enumerate(self._program.instructions, 1))):
            found |= {
                value for place, value in enumerate(each.inputs) if not _takes_bytes(each, place, number in found)
            }
        return found

    def _append(self, op: str, inputs: tuple[int, ...], tensors: Mapping[str, Tensor], **attributes: Any) -> int:
        self._out.append(Instruction(op, inputs, tensors, attributes))
        return len(self._out)

    def _as_bytes(self, value: int) -> tuple[int, Bytes]:
        """The value as bytes; one of floats is quantised by an op of its own, once."""
        if value not in self._bytes:
            chosen = column_steps(self._ranges[value])
            scale = _vector(f"value.{value}.scale", 1 / chosen.step)
            made = self._append("quantize", (self._floats[value],), {"scale": scale}, zero=chosen.zero)
            self._bytes[value] = made, chosen
        return self._bytes[value]

    def _convolution(self, number: int, instruction: Instruction) -> None:
        source, taken = self._as_bytes(instruction.inputs[0])
        prefix = instruction.tensors["weight"].name.removesuffix("weight")
        attributes = dict(instruction.attributes)
        integers, scale, bias = self._weights(instruction, taken)
        columns = len(scale)
        tensors = {}
        if instruction.op == "conv2d":
            tensors["weight"] = Tensor(f"{prefix}weight", "panel_i8", integers)
        else:
            tensors["weight"] = Tensor(f"{prefix}weight", "table_i8", np.ascontiguousarray(integers.T))

        inputs = [source]
        residual_scale: Floats | None = None
        if len(instruction.inputs) > 1:
            value = instruction.inputs[1]
            if value in self._bytes:
                residual, added = self._bytes[value]
                residual_scale = np.broadcast_to(added.step, columns)
                bias = bias - added.zero * residual_scale
            else:
                residual = self._floats[value]
            inputs.append(residual)

        writes_bytes = number not in self._wants_floats
        if writes_bytes:
            chosen = one_step(self._ranges[number])
            attributes |= {"output": "uint8", "output_zero": chosen.zero}
            # Then the steps of the result and its zero point are in scale, bias and residual_scale.
            folds = attributes["activation"] == "none" or (attributes["activation"] in _SATURATING and chosen.zero == 0)
            if folds and (len(inputs) == 1 or residual_scale is not None):
                attributes["activation"] = "none"
                scale, bias = scale / chosen.step, bias / chosen.step + chosen.zero
                residual_scale = None if residual_scale is None else residual_scale / chosen.step
            else:
                tensors["output_scale"] = _vector(f"{prefix}output_scale", 1 / np.broadcast_to(chosen.step, columns))
        if residual_scale is not None:
            tensors["residual_scale"] = _vector(f"{prefix}residual_scale", residual_scale)
        tensors["scale"] = _vector(f"{prefix}scale", scale)
        tensors["bias"] = Tensor(f"{prefix}bias", instruction.tensors["bias"].layout, bias.astype(np.float32))
        made = self._append(instruction.op, tuple(inputs), tensors, **attributes)
        if writes_bytes:
            self._bytes[number] = made, chosen
        else:
            self._floats[number] = made

    def _weights(self, instruction: Instruction, taken: Bytes) -> tuple[NDArray[np.int8], Floats, Floats]:
        """int8 weights of bytes [N, K], their scales [N], and the bias with what the zero point adds.

        What rounding the weights adds to an output on average, by the mean of each input column, is taken off the bias
        (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", 4.2): the cosine
        of EfficientNet-Lite0's logits to fp32 rises from .993 to .999.
        """
        weight, bias = (instruction.tensors[role].data.astype(np.float64) for role in ("weight", "bias"))
        if instruction.op == "depthwise":
            weight = weight.T
        # The input column of each weight: a depthwise channel has its own, a window all of them for each pixel.
        seen = self._ranges.get(instruction.inputs[0])
        channels = (
            len(weight)
            if instruction.op == "depthwise"
            else weight.shape[1] // int(instruction.attributes["kernel"]) ** 2
        )

        def spread(values: Floats) -> Floats:
            each = np.broadcast_to(values, channels)
            return each[:, None] if instruction.op == "depthwise" else np.tile(each, weight.shape[1] // channels)

        step = spread(taken.step)
        integers, scale32 = int8_rows(weight * step)
        scale = scale32.astype(np.float64)
        if seen is not None:
            added = (integers * scale[:, None] / step - weight) * spread(seen.mean)
            bias = bias - added.sum(axis=1)
        return integers, scale, bias - taken.zero * integers.sum(axis=1, dtype=np.float64) * scale

    def _max_pool(self, number: int, instruction: Instruction) -> None:
        source, taken = self._as_bytes(instruction.inputs[0])
        self._bytes[number] = self._append("max_pool", (source,), {}, **instruction.attributes), taken

    def _gate(self, number: int, instruction: Instruction) -> None:
        source, taken = self._as_bytes(instruction.inputs[0])
        chosen = one_step(self._ranges[number])
        scale = np.broadcast_to(taken.step / chosen.step, self._ranges[number].low.shape)
        inputs = (source, self._floats[instruction.inputs[1]])
        tensors = {"scale": _vector(f"gate.{number}.scale", scale)}
        self._bytes[number] = self._append("gate", inputs, tensors, output_zero=chosen.zero), chosen

    def _pool(self, number: int, instruction: Instruction) -> None:
        source, taken = self._bytes[instruction.inputs[0]]
        seen = self._ranges[instruction.inputs[0]]
        scale = np.broadcast_to(taken.step / seen.rows, seen.low.shape)
        tensors = {"scale": _vector(f"pool.{number}.scale", scale)}
        self._floats[number] = self._append("pool", (source,), tensors, **instruction.attributes)


def _takes_bytes(instruction: Instruction, place: int, writes_floats: bool) -> bool:
    """Whether an instruction can read bytes as its input number `place`."""
    if instruction.op in ("max_pool", "gate"):
        return place == 0 and not writes_floats
    if instruction.op == "pool":
        return instruction.attributes["kind"] == "mean" and instruction.attributes["skip"] == 0
    return instruction.op in ("conv2d", "depthwise")


def _vector(name: str, values: Floats) -> Tensor:
    return Tensor(name, "vector_f32", values.astype(np.float32))
