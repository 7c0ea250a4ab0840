"""Small programs and their inputs: rows of floats that reach an op unchanged, and encoders of a few layers."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_convert import reference, writer
from embedrt_convert.builder import IDS, Instruction, Program, Tensor
from embedrt_convert.quantize import quantize

UNIT = 2.0**-24  # the relative error of one rounding to binary32
LENGTHS = (1, 5, 0, 17, 1, 0, 33, 2)  # the ragged texts of most tests

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def offsets_of(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


def core_model(program: Program, threads: int = 1) -> _core.Model:
    """The program in the core, from the bytes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "program.embedrt"
        writer.write(path, [*writer.program_sections(program)])
        return _core.Model(path.read_bytes(), threads=threads)


class RowsProgram:
    """A program whose inputs are given rows: token i looks row i up in a float32 table. The last op is the output."""

    def __init__(self, *inputs: Float32, lengths: Sequence[int] | None = None) -> None:
        rows = len(inputs[0])
        self.lengths = (rows,) if lengths is None else tuple(lengths)
        self.program = Program(vocabulary=max(rows, 1), max_tokens=max(1, *self.lengths))
        self.ids = np.arange(rows, dtype=np.int32)
        self.inputs = [
            self.program.op("lookup", IDS, name=f"input{number}", table=np.ascontiguousarray(x, np.float32))
            for number, x in enumerate(inputs)
        ]

    def op(self, op: str, *inputs: int, **operands: Any) -> int:
        """Append an op on the given rows, or on `inputs`, and make its result the output."""
        value = self.program.op(op, *(inputs or self.inputs), name=op, **operands)
        self.output_is(value, "sentence_embedding" if op == "pool" else "token_embeddings")
        return value

    def output_is(self, value: int, name: str = "token_embeddings") -> None:
        self.program.outputs = {name: value}

    def linear_int8(
        self,
        weight: NDArray[np.int8],
        scale: Float32,
        bias: Float32 | None = None,
        activation: str = "none",
        input_bits: int = 8,
    ) -> None:
        """Append a linear with these very integers."""
        tensors = {
            "weight": Tensor("weight", "panel_i8", weight),
            "scale": Tensor("scale", "vector_f32", scale),
            "column_sums": Tensor("column_sums", "vector_i32", weight.sum(axis=1, dtype=np.int32)),
        }
        if bias is not None:
            tensors["bias"] = Tensor("bias", "vector_f32", bias)
        self.op("linear", weight=np.zeros((len(scale), weight.shape[1]), np.float32), activation=activation)
        float_one = self.program.instructions.pop()
        attributes = {**float_one.attributes, "input_bits": input_bits}
        self.program.instructions.append(Instruction("linear", float_one.inputs, tensors, attributes))

    def core(self, threads: int = 1) -> Float32:
        (output,) = self.program.outputs
        return core_model(self.program, threads).run(self.ids, offsets_of(self.lengths), output)

    def reference(self) -> Float64:
        (output,) = self.program.outputs
        return reference.run(self.program, self.ids, offsets_of(self.lengths), output)


def fma(a: Float32, b: Float32, c: Float32) -> Float32:
    """a · b + c with one rounding: an exact product in float64, a sum rounded to odd, and that to float32."""
    product, addend = a.astype(np.float64) * b, c.astype(np.float64)
    total = product + addend
    back = total - product
    error = (product - (total - back)) + (addend - back)
    even = total.view(np.int64) % 2 == 0
    total = np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return total.astype(np.float32)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(generator: np.random.Generator, *shape: int, scale: float = 1.0) -> Float32:
    return (generator.normal(size=shape) * scale).astype(np.float32)


def encoder(precision: str, *, hidden: int = 36, heads: int = 3, inner: int = 52, max_tokens: int = 600) -> Program:
    """A random encoder of two layers: BERT's shape, no size a multiple of sixteen. The second layer's rows see those
    around them, with biases. In precision "mixed", which is int8, every other linear reads 16 bits.
    """
    made = Program(vocabulary=97, max_tokens=max_tokens)
    random = rng(5)

    def linear(x: int, n: int, k: int, *residual: int, activation: str = "none") -> int:
        weight, bias = normal(random, n, k, scale=0.3), normal(random, n, scale=0.1)
        return made.op("linear", x, *residual, name="linear", weight=weight, bias=bias, activation=activation)

    def norm(x: int) -> int:
        return made.op(
            "norm", x, name="norm", weight=1 + normal(random, hidden, scale=0.1), bias=normal(random, hidden)
        )

    x = made.op("lookup", IDS, name="words", table=normal(random, 97, hidden))
    x = made.op("add", x, made.op("lookup", IDS, name="places", index="position", table=normal(random, 600, hidden)))
    x = norm(x)
    for activation in ("gelu", "gelu_tanh"):
        scale = (hidden / heads) ** -0.5
        attended = made.op(
            "attention",
            linear(x, 3 * hidden, hidden),
            name="attention",
            heads=heads,
            scale=scale,
            precision="float32",
            **({} if activation == "gelu" else {"window": 40, "bias": normal(random, heads, 2 * max_tokens - 1)}),
        )
        x = norm(linear(attended, hidden, hidden, x))
        x = norm(linear(linear(x, inner, hidden, activation=activation), hidden, inner, x))
    pooled = made.op("pool", x, kind="mean")
    pooled = linear(pooled, 20, hidden, activation="tanh")
    made.outputs = {"token_embeddings": x, "sentence_embedding": made.op("normalize", pooled)}
    if precision != "mixed":
        return quantize(made, precision)
    quantised = quantize(made, "int8")
    linears = [i for i, instruction in enumerate(quantised.instructions) if instruction.op == "linear"]
    for i in linears[::2]:
        one = quantised.instructions[i]
        attributes = {**one.attributes, "input_bits": 16}
        quantised.instructions[i] = dataclasses.replace(one, attributes=attributes)
    return quantised
