"""Every family with outlier channels in its norms: int8 keeps the vectors, because of the instructions made finer."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from family_files import ALL, OUTPUT, cosines, ragged
from outliers import with_outliers

from embedrt import _core
from embedrt_convert import choose_precision, writer
from embedrt_convert.archs import lower
from embedrt_convert.builder import Program
from embedrt_convert.inputs import huggingface
from embedrt_convert.quantize import Int8
from embedrt_convert.sources import Folder

LEAST = 0.995


def program_of(name: str) -> Program:
    folder = Path(tempfile.mkdtemp(prefix="outliers"))
    try:
        ALL[name].save(folder)
        return lower(huggingface.read(Folder(folder)))
    finally:
        shutil.rmtree(folder)


def random_texts(size: int, seed: int):
    """Ragged ids and offsets of texts of 1 to 40 random tokens."""
    rng = np.random.default_rng(seed)
    return ragged([rng.integers(5, size, length).tolist() for length in (1, 2, 3, 5, 8, 13, 21, 34, 40, 30, 17, 10)])


def vectors(program: Program, ids, offsets):
    """The means of the tokens' vectors, whatever head the case has."""
    model = _core.Model(writer.in_memory([*writer.program_sections(program)]), threads=1)
    rows = model.run(ids.astype(np.int32), offsets, OUTPUT)
    return np.add.reduceat(rows, offsets[:-1]) / np.diff(offsets)[:, None]


def measured(program: Program):
    """(cosines of int8 as it is chosen, of int8 with 8 bits everywhere, what was chosen), of other texts than those
    that it was chosen by
    """
    int8 = Int8()
    ids, offsets = random_texts(program.vocabulary, 1)
    chosen = choose_precision.choose(program, int8, ids.astype(np.int32), offsets)
    others = random_texts(program.vocabulary, 2)
    expected = vectors(program, *others)
    found = [cosines(expected, vectors(int8.program(program, finer), *others)) for finer in (chosen.finer, ())]
    return *found, chosen


@pytest.mark.parametrize("name", ALL)
def test_outliers_are_given_16_bits(name, record_property):
    program, norms = with_outliers(program_of(name))
    assert norms > 0
    chosen, plain, precision = measured(program)
    for what, value in (("chosen", chosen), ("8 bits", plain)):
        record_property(what, f"mean {value.mean():.4f}, worst {value.min():.4f}")
    assert chosen.mean() >= LEAST, (chosen.mean(), chosen.min())
    assert chosen.mean() > plain.mean()
    assert {program.instructions[i].op for i in precision.finer} == {"linear"}  # and some there are


@pytest.mark.parametrize("family", ["qwen3", "t5", "gemma3"])
def test_8_bits_would_not_do(family):
    """Otherwise the test above could not fail."""
    name = next(name for name in ALL if name.startswith(f"{family}: "))
    _, plain, _ = measured(with_outliers(program_of(name))[0])
    assert plain.mean() < LEAST


@pytest.mark.parametrize("name", ALL)
def test_without_outliers_8_bits_do(name):
    chosen, _, precision = measured(program_of(name))
    assert not precision.finer and precision.cost <= choose_precision.BUDGET
    assert chosen.mean() >= LEAST
