"""Which instructions of an int8 program are to be finer: those whose bytes cost its vectors too much, by measurement.

Bytes are cheap where the numbers of a row are of one size. Where one channel stands at a hundred times the others,
they are steps of that channel. So the vectors of some texts are computed by the runtime itself, in programs that differ
in one instruction: what it costs to leave that one in 8 bits, while all others are finer, is how far they move.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt._outputs import MAIN
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Instruction, Program, Tensor
from embedrt_convert.quantize import Int8

Ids = NDArray[np.int32]
Offsets = NDArray[np.int64]

# What all that stays in 8 bits may cost together: a mean cosine of 1 - BUDGET. all-MiniLM-L6-v2 takes half of it,
# multilingual-e5-small a quarter; a channel at 100 times the others takes as much three times in one linear layer.
BUDGET = 0.002

# Tokens that suffice to see it: about twenty sentences.
TOKENS = 512

# op -> what is done to a finer one
FINER = {"linear": "16-bit input", "attention": "float32", "lookup": "two int8 tables"}


@dataclass(frozen=True)
class Precision:
    """Numbers of the instructions to be finer, and why. Costs are 1 - cosine, for vectors of length one."""

    finer: frozenset[int] = frozenset()
    cost: float | None = None  # of 8 bits everywhere; None where nothing was measured
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of 8 bits in each that is to be finer

    def section(self) -> dict[str, Any]:
        """What the report says of it."""
        if self.cost is None:
            return {}
        return {"cost_of_8_bits": float(f"{self.cost:.1e}"), "finer": self.reasons()}

    def reasons(self) -> list[str]:
        """Which and why, a line each."""
        return [f"{what}, where 8 bits cost {cost:.1e} of the cosine" for what, cost in self.costs.items()]


def some_texts(ids: Ids, offsets: Offsets, types: Ids) -> tuple[Ids, Offsets, Ids]:
    """Of ragged texts the shortest, as many as have TOKENS tokens together, and at least one: ids, offsets, types."""
    texts = [np.arange(begin, end) for begin, end in itertools.pairwise(offsets) if end > begin]
    chosen: list[NDArray[np.int64]] = []
    for text in sorted(texts, key=len):
        if not chosen or sum(map(len, chosen)) + len(text) <= TOKENS:
            chosen.append(text)
    tokens = np.concatenate([*chosen, np.zeros(0, np.int64)])
    return ids[tokens], np.cumsum([0, *map(len, chosen)], dtype=np.int64), types[tokens]


def choose(program: Program, int8: Int8, ids: Ids, offsets: Offsets, types: Ids | None = None) -> Precision:
    """What texts say of a float program: token ids [n] of `types` [n] in segments offsets [m + 1].

    `int8` makes the programs that are tried. What only images need stays int8.
    """
    if ids.max(initial=0) >= program.vocabulary:
        return Precision()  # the runtime will say so
    trial, ids, numbers = _trial(program, ids)
    candidates = {i for i, instruction in enumerate(trial.instructions) if instruction.op in FINER}
    packed = writer.pack_tensors(int8.program(trial, candidates))

    def vectors(finer: Collection[int]) -> list[NDArray[np.float64]]:
        sections = [writer.program_section(int8.program(trial, finer), packed), packed.section]
        model = _core.Model(writer.in_memory(sections))
        found = model.run_outputs(ids, offsets, list(trial.outputs), types=types if model.types_count else None)
        return [values.astype(np.float64) for values in found]

    finest = vectors(candidates)
    cost = _distance(finest, vectors(()))
    if cost <= BUDGET:
        return Precision(cost=cost)
    costs = {i: _distance(finest, vectors(candidates - {i})) for i in sorted(candidates)}
    finer: list[int] = []
    for i in sorted(costs, key=lambda i: -costs[i]):
        if sum(costs.values()) - sum(costs[one] for one in finer) <= BUDGET:
            break
        finer.append(i)
    named = {f"{_name(trial, i)}: {FINER[trial.instructions[i].op]}": costs[i] for i in sorted(finer)}
    return Precision(frozenset(numbers[i] for i in finer), cost, named)


def _distance(expected: list[NDArray[np.float64]], actual: list[NDArray[np.float64]]) -> float:
    """Half the energy of the difference beside that of the vectors, 1 - cosine where they are of length one; the worst
    output's.
    """
    return max(
        float(np.square(a - e).sum() / (2 * max(np.square(e).sum(), np.finfo(np.float64).tiny)))
        for e, a in zip(expected, actual, strict=True)
    )


def _trial(program: Program, ids: Ids) -> tuple[Program, Ids, list[int]]:
    """(what makes vectors of texts, with no rows of tables but those of these ids; the ids in it; each instruction's
    number in the program)
    """
    of_texts = [False]
    for instruction in program.instructions:
        of_texts.append(instruction.op == "lookup" or all(of_texts[value] for value in instruction.inputs))
    outputs = {name: value for name, value in program.outputs.items() if of_texts[value]}
    outputs = {name: value for name, value in outputs.items() if name in MAIN} or outputs
    needed = set(outputs.values())
    for value in range(len(program.instructions), 0, -1):
        if value in needed:
            needed.update(program.instructions[value - 1].inputs)
    present, places = np.unique(ids, return_inverse=True)
    tables: dict[tuple[int, int], Tensor] = {}
    values = {IDS: IDS}
    trial = Program(len(present), program.max_tokens)
    for value in sorted(needed - {IDS}):
        instruction = program.instructions[value - 1]
        inputs = tuple(values[each] for each in instruction.inputs)
        trial.instructions.append(_with_rows(dataclasses.replace(instruction, inputs=inputs), present, tables))
        values[value] = len(trial.instructions)
    trial.outputs = {name: values[value] for name, value in outputs.items()}
    return trial, places.astype(np.int32), [value - 1 for value in sorted(needed - {IDS})]


def _with_rows(instruction: Instruction, present: Ids, tables: dict[tuple[int, int], Tensor]) -> Instruction:
    """A lookup of tokens with the rows of the ids present; any other instruction as it is."""
    if instruction.op != "lookup" or instruction.attributes["index"] != "token":
        return instruction
    table, offset = instruction.tensors["table"], instruction.attributes["offset"]
    assert isinstance(offset, int)
    rows = tables.setdefault(
        (id(table), offset), Tensor(table.name, table.layout, np.ascontiguousarray(table.data[present + offset]))
    )
    attributes = {**instruction.attributes, "offset": 0}
    return dataclasses.replace(instruction, tensors={"table": rows}, attributes=attributes)


def _name(program: Program, number: int) -> str:
    """By its weights, or by those that come before it."""
    instruction = program.instructions[number]
    for role in ("weight", "table"):
        if role in instruction.tensors and instruction.op in ("linear", "lookup"):
            return instruction.tensors[role].name.removesuffix(f".{role}")
    before = instruction.inputs[0]
    return instruction.op if before == IDS else f"{instruction.op} after {_name(program, before - 1)}"
