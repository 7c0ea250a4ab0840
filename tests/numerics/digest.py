"""Prints the instruction set of this process, then a hash of what each program gives: a line each."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from image_programs import MADE, pictures
from numeric_programs import LENGTHS, RowsProgram, core_model, encoder, normal, offsets_of, rng

from embedrt import _core

ROWS = sum(LENGTHS)
ACTIVATIONS = (
    "none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "relu6", "hard_swish", "hard_sigmoid", "quick_gelu",
    "log1p_relu",
)  # fmt: skip


def op_programs() -> dict[str, RowsProgram]:
    """A program for each op, precision and choice of its attributes."""
    made = {}

    def program(name: str, columns: int, op: str, **operands: object) -> None:
        made[name] = RowsProgram(normal(rng(columns), ROWS, columns), lengths=LENGTHS)
        made[name].op(op, **operands)

    weight, bias = normal(rng(1), 50, 100, scale=0.2), normal(rng(2), 50)
    integers = rng(3).integers(-127, 128, (50, 100)).astype(np.int8)
    for activation in ACTIVATIONS:
        program(f"linear float32 {activation}", 100, "linear", weight=weight, bias=bias, activation=activation)
        for bits in (8, 16):
            one = made[f"linear int8 {activation} {bits}"] = RowsProgram(normal(rng(100), ROWS, 100), lengths=LENGTHS)
            one.linear_int8(integers, np.abs(bias) / 50, bias, activation, bits)
        program(f"activate {activation}", 50, "activate", activation=activation)
    for precision in ("int8", "float32"):
        scale = 1 / math.sqrt(10)
        for mask in ("none", "causal"):
            for window in (0, 6):
                for table in (None, normal(rng(4), 3, 2 * max(LENGTHS) - 1)):
                    name = f"attention {precision} {mask} {window} {table is not None}"
                    operands = {"heads": 3, "scale": scale, "precision": precision, "mask": mask, "window": window}
                    program(name, 90, "attention", bias=table, **operands)
                    program(f"{name} grouped", 50, "attention", kv_heads=1, bias=table, **operands)
    for kind in ("layer", "rms"):
        program(f"norm {kind}", 50, "norm", weight=bias, bias=bias, kind=kind)
        weights = {"query": bias[:10], "key": bias[10:20]}
        program(f"head_norm {kind}", 50, "head_norm", heads=3, kv_heads=1, kind=kind, **weights)
    for kind in ("mean", "first", "last", "max", "sum", "weighted_mean", "mean_sqrt"):
        program(f"pool {kind}", 50, "pool", kind=kind)
    angles = normal(rng(5), max(LENGTHS), 10)
    program("rope grouped", 50, "rope", heads=3, kv_heads=1, cos=np.cos(angles), sin=np.sin(angles))
    program("normalize", 50, "normalize")
    return made


def main() -> None:
    print(_core.isa())
    for name, program in op_programs().items():
        print(name, hashlib.sha256(program.core().tobytes()).hexdigest())
    lengths = (3, 0, 1, 120, *range(1, 34, 3), 300)
    ids = rng(4).integers(0, 97, sum(lengths)).astype(np.int32)
    for precision in ("int8", "mixed", "fp32"):
        for hidden in (36, 48):  # heads of 12 columns, and of 16, whose q, k and v attention computes itself
            model = core_model(encoder(precision, hidden=hidden), threads=2)
            for output in ("sentence_embedding", "token_embeddings"):
                vectors = model.run(ids, offsets_of(lengths), output)
                print("encoder", precision, hidden, output, hashlib.sha256(vectors.tobytes()).hexdigest())
    for precision in ("int8", "fp32"):
        for name, made in MADE.items():
            program = made(precision)
            model = core_model(program, threads=2)
            for output in program.outputs:
                vectors = model.run_images(pictures(5), output)
                print(name, precision, output, hashlib.sha256(vectors.tobytes()).hexdigest())


if __name__ == "__main__":
    main()
