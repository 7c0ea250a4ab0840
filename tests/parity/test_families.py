"""Every family beside somebody else's code: tiny random checkpoints in fp32 and int8."""

from __future__ import annotations

import shutil
from pathlib import Path

import families
import numpy as np
import pytest
from family_files import ALL, OUTPUT, cosines, largest_difference, make, ragged
from family_table import lines, row_start

from embedrt_convert import archs
from embedrt_convert.quantize import PRECISIONS

DOCS = Path(__file__).parents[2] / "docs" / "families.md"


@pytest.fixture(scope="module", params=ALL)
def saved(request):
    """(what was made, its texts, the token vectors of all texts one after another)"""
    made = make(ALL[request.param])
    texts = made.case.texts(made.model("fp32").vocabulary)
    yield made, texts, np.concatenate(made.case.reference(made.folder, texts))
    shutil.rmtree(made.folder)


def test_fp32_is_the_reference(saved):
    made, texts, expected = saved
    actual = made.model("fp32").run(*ragged(texts), OUTPUT)
    assert largest_difference(expected, actual) <= made.case.atol


def test_int8_is_close(saved):
    made, texts, expected = saved
    close = cosines(expected, made.model("int8").run(*ragged(texts), OUTPUT))
    mean, worst = made.case.int8_cosine
    assert close.mean() >= mean and close.min() >= worst, (close.mean(), close.min())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_batch_gives_the_bits_of_texts_one_by_one(saved, precision):
    made, texts, _ = saved
    model = made.model(precision)
    together = model.run(*ragged(texts), OUTPUT)
    np.testing.assert_array_equal(together, np.concatenate([model.run(*ragged([ids]), OUTPUT) for ids in texts]))


def test_every_family_of_texts_has_cases():
    modules = {module.__name__.rpartition(".")[2] for module in archs.modules() if hasattr(module, "lower")}
    assert modules == set(families.names())


def test_the_documentation_has_every_family():
    table = DOCS.read_text(encoding="utf-8").splitlines()
    for family in families.names():
        (row,) = (line for line in table if line.startswith(row_start(family)))
        assert row.endswith(f"| {lines(family)} |"), f"run tests/parity/family_table.py: {family} has changed"
