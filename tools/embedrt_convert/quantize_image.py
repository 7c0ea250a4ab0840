"""The precision policy of convolutional networks: values of bytes with steps that are fixed at conversion.

A window's taps share one sum, so its pixels share one step for each channel; steps fixed from pictures let a
convolution write bytes straight from its sums. A value's steps and zero point are folded into the weights, scales and
biases around it (docs/format.md, "conv2d"), so a file holds none of them but the zero point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt_convert.builder import PIXELS, Instruction, Program, Tensor
from embedrt_convert.calibrate import Range
from embedrt_convert.quantize import int8_rows

Floats = NDArray[np.float64]

# Ops that can write bytes, and those that read them; a pool only where it is a mean.
_WRITERS = ("conv2d", "depthwise", "max_pool", "gate")
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
        self._floats: dict[int, int] = {}  # value of the float program -> the same of the new one
        self._bytes: dict[int, tuple[int, Bytes]] = {PIXELS: (PIXELS, Bytes(np.ones(1), 0))}
        self._wants_floats = self._readers_of_floats()

    def run(self) -> Program:
        for number, instruction in enumerate(self._program.instructions, 1):
            if instruction.op in ("conv2d", "depthwise"):
                self._convolution(number, instruction)
            elif instruction.op in ("max_pool", "gate") and number not in self._wants_floats:
                self._elementwise(number, instruction)
            elif instruction.op == "pool" and instruction.inputs[0] in self._bytes:
                self._pool(number, instruction)
            else:
                inputs = tuple(self._float(value) for value in instruction.inputs)
                self._floats[number] = self._append(dataclasses.replace(instruction, inputs=inputs))
        outputs = {name: self._floats[value] for name, value in self._program.outputs.items()}
        return dataclasses.replace(self._program, instructions=self._out, outputs=outputs)

    def _readers_of_floats(self) -> set[int]:
        """Values that something reads which cannot take bytes."""
        found = set(self._program.outputs.values())
        # From the end: a max_pool or gate that must write floats reads floats.
        for number, each in reversed(list(enumerate(self._program.instructions, 1))):
            for place, value in enumerate(each.inputs):
                takes = each.op in ("conv2d", "depthwise") or (
                    each.op in ("max_pool", "gate") and place == 0 and number not in found
                )
                takes = takes or (
                    each.op == "pool" and each.attributes["kind"] == "mean" and each.attributes["skip"] == 0
                )
                if not takes or (
                    value != PIXELS and self._program.instructions[value - 1].op not in _WRITERS and each.op == "pool"
                ):
                    found.add(value)
        return found

    def _append(self, instruction: Instruction) -> int:
        self._out.append(instruction)
        return len(self._out)

    def _float(self, value: int) -> int:
        return PIXELS if value == PIXELS else self._floats[value]

    def _as_bytes(self, value: int) -> tuple[int, Bytes]:
        """The value as bytes; one of floats is quantised by an op of its own, once."""
        if value not in self._bytes:
            chosen = column_steps(self._ranges[value])
            scale = _vector(f"value.{value}.scale", 1 / chosen.step)
            made = self._append(
                Instruction("quantize", (self._floats[value],), {"scale": scale}, {"zero": chosen.zero})
            )
            self._bytes[value] = made, chosen
        return self._bytes[value]

    def _convolution(self, number: int, instruction: Instruction) -> None:
        source, taken = self._as_bytes(instruction.inputs[0])
        weight, bias = (instruction.tensors[role].data.astype(np.float64) for role in ("weight", "bias"))
        prefix = instruction.tensors["weight"].name.removesuffix("weight")
        if instruction.op == "conv2d":
            columns, layout = weight * np.tile(taken.step, weight.shape[1] // len(taken.step)), "panel_i8"
        else:
            columns, layout = (weight * taken.step).T, "table_i8"
        integers, scale32 = int8_rows(columns)
        scale = scale32.astype(np.float64)
        bias = bias - taken.zero * integers.sum(axis=1, dtype=np.float64) * scale

        inputs, made = (
            [source],
            {
                "weight": Tensor(
                    f"{prefix}weight", layout, integers if instruction.op == "conv2d" else integers.T.copy()
                )
            },
        )
        attributes = dict(instruction.attributes)
        residual_step: Floats | None = None
        if len(instruction.inputs) > 1:
            value = instruction.inputs[1]
            if value in self._bytes:
                residual, added = self._bytes[value]
                residual_step = added.step
                bias = bias - added.zero * added.step
            else:
                residual = self._floats[value]
            inputs.append(residual)

        writes_bytes = number not in self._wants_floats
        if writes_bytes:
            chosen = one_step(self._ranges[number])
            attributes |= {"output": "uint8", "output_zero": chosen.zero}
            float_residual = len(inputs) > 1 and residual_step is None
            folds = attributes["activation"] == "none" or (attributes["activation"] in _SATURATING and chosen.zero == 0)
            if folds and not float_residual:
                scale, bias = scale / chosen.step, bias / chosen.step + chosen.zero
                residual_step = None if residual_step is None else residual_step / chosen.step
                attributes["activation"] = "none"
            else:
                made["output_scale"] = Tensor(
                    f"{prefix}output_scale", "vector_f32", (1 / chosen.step).astype(np.float32)
                )
        if residual_step is not None:
            made["residual_scale"] = Tensor(f"{prefix}residual_scale", "vector_f32", residual_step.astype(np.float32))
        made["scale"] = Tensor(f"{prefix}scale", "vector_f32", scale.astype(np.float32))
        made["bias"] = Tensor(f"{prefix}bias", instruction.tensors["bias"].layout, bias.astype(np.float32))
        result = self._append(Instruction(instruction.op, tuple(inputs), made, attributes))
        if writes_bytes:
            self._bytes[number] = result, chosen
        else:
            self._floats[number] = result

    def _elementwise(self, number: int, instruction: Instruction) -> None:
        source, taken = self._as_bytes(instruction.inputs[0])
        if instruction.op == "max_pool":
            made = self._append(dataclasses.replace(instruction, inputs=(source,)))
            self._bytes[number] = made, taken
            return
        chosen = one_step(self._ranges[number])
        scale = Tensor(f"gate.{number}.scale", "vector_f32", (taken.step / chosen.step).astype(np.float32))
        made = self._append(
            dataclasses.replace(
                instruction,
                inputs=(source, self._floats[instruction.inputs[1]]),
                tensors={"scale": scale},
                attributes={"output_zero": chosen.zero},
            )
        )
        self._bytes[number] = made, chosen

    def _pool(self, number: int, instruction: Instruction) -> None:
        source, taken = self._bytes[instruction.inputs[0]]
        scale = taken.step / self._ranges[instruction.inputs[0]].rows
        tensor = Tensor(f"pool.{number}.scale", "vector_f32", scale.astype(np.float32))
        self._floats[number] = self._append(
            dataclasses.replace(instruction, inputs=(source,), tensors={"scale": tensor})
        )
