"""Graphs that nobody made on purpose: encoders of random parts, changed at random, are right or refused."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from onnx_attention import CHOICES, Spelling, encoder
from onnx_judge import judged
from onnx_mutations import DoesNotRunError, mutated
from onnx_spellings import Size

# Extents that are each other's and those of texts, too: they may be taken for one another.
SIZES = (
    Size(),
    Size(hidden=16, heads=4, feed=16, tokens=16),
    Size(hidden=8, heads=2, feed=11, tokens=13, vocabulary=40),
    Size(hidden=24, heads=2, feed=12, tokens=12, vocabulary=100),
    Size(hidden=6, heads=3, feed=11, tokens=11, vocabulary=30),
)
# Spellings that look at ids: what they do with single ones is not seen before texts are compared.
OF_VALUES = {"of ids", "positions by ids", "shifted ids"}


@st.composite
def encoders(draw):
    size = draw(st.sampled_from(SIZES))
    spelling = Spelling(**{part: draw(st.sampled_from(of)) for part, of in CHOICES.items()})
    if size.head % 4:  # a rotation of half of the columns of each head is one of pairs
        spelling = Spelling(**{**vars(spelling), "rotation": "none"})
    return size, spelling


@settings(max_examples=300, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(encoders(), st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_right_or_refused(chosen, seed, changes):
    size, spelling = chosen
    rng = np.random.default_rng(seed)
    model, said = encoder(spelling, size, seed=seed), []
    for _ in range(changes):
        try:
            model, change = mutated(model, rng)
        except DoesNotRunError:  # the first change left nothing that runs
            break
        said.append(change)
    verdict = judged(model, size, seed, tokens=spelling.end == "tokens")
    event(verdict.kind)
    if verdict.kind == "caught":
        # Importing it is a mistake only where the graph has an answer, and one that its structure decides.
        no_answer = "onnxruntime does not" in verdict.why or "values reach nan" in verdict.why
        assert no_answer or OF_VALUES & {spelling.mask, spelling.embedding}, (said, verdict.why)
    assert verdict.kind != "wrong", (said, verdict.why)
