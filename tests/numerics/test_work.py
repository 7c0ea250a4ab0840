"""The count of multiply-adds, against formulas of the shapes."""

from __future__ import annotations

import pytest
from image_programs import MADE
from numeric_programs import core_model, encoder, normal, rng

from embedrt import InputError, _core
from embedrt_convert.builder import IDS, Program
from embedrt_convert.quantize import quantize

WIDTH, LAYERS, LONGEST = 48, 3, 40


def bert(precision: str) -> _core.Model:
    """An encoder with an inner width of four times its own, and a layer more after it that only one output needs."""
    made = Program(vocabulary=10, max_tokens=LONGEST)
    random = rng(3)

    def linear(x: int, n: int, k: int) -> int:
        return made.op("linear", x, name="linear", weight=normal(random, n, k), activation="none")

    x = made.op("lookup", IDS, name="words", table=normal(random, 10, WIDTH))
    for _ in range(LAYERS):
        attended = made.op("attention", linear(x, 3 * WIDTH, WIDTH), heads=4, scale=0.3, precision="float32")
        x = linear(linear(linear(attended, WIDTH, WIDTH), 4 * WIDTH, WIDTH), WIDTH, 4 * WIDTH)
    pooled = made.op("pool", x, kind="mean")
    made.outputs = {"sentence_embedding": pooled, "token_embeddings": linear(x, WIDTH, WIDTH)}
    return core_model(quantize(made, precision))


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("tokens", [0, 1, 7, LONGEST])
def test_work_of_a_text(precision: str, tokens: int) -> None:
    # A token: 12 d² in the linear layers of a layer, and d for each of its q · kᵀ and p · v.
    each = LAYERS * (12 * WIDTH**2 + 2 * tokens * WIDTH)
    model = bert(precision)
    assert model.work(tokens, "sentence_embedding") == tokens * each
    assert model.work(tokens, "token_embeddings") == tokens * (each + WIDTH**2)


@pytest.mark.parametrize(("mask", "window", "seen"), [("none", 4, 9), ("causal", 4, 5), ("none", 300, 40)])
def test_work_within_a_window(mask: str, window: int, seen: int) -> None:
    made = Program(vocabulary=10, max_tokens=LONGEST)
    x = made.op("lookup", IDS, name="words", table=normal(rng(3), 10, 3 * WIDTH))
    made.outputs = {"token_embeddings": made.op("attention", x, heads=4, mask=mask, window=window)}
    assert core_model(made).work(LONGEST, "token_embeddings") == LONGEST * 2 * seen * WIDTH
    assert core_model(made).work(3, "token_embeddings") == 3 * 2 * 3 * WIDTH


def test_work_of_grouped_queries() -> None:
    """Each head of q works, whoever else sees its keys."""
    made = Program(vocabulary=10, max_tokens=LONGEST)
    x = made.op("lookup", IDS, name="words", table=normal(rng(3), 10, WIDTH + 2 * WIDTH // 4))
    made.outputs = {"token_embeddings": made.op("attention", x, heads=4, kv_heads=1)}
    assert core_model(made).work(7, "token_embeddings") == 7 * 2 * 7 * WIDTH


def test_a_layer_after_the_pooling_works_once() -> None:
    hidden, inner, out = 32, 48, 20
    model = core_model(encoder("int8", hidden=hidden, heads=2, inner=inner))
    layer = 4 * hidden**2 + 2 * hidden * inner + 2 * 5 * hidden
    assert model.work(5, "sentence_embedding") == 5 * 2 * layer + hidden * out


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_work_of_an_image(precision: str) -> None:
    # Of 19 × 23 pixels: patches of 4 × 4 are 20 rows, of which 2 × 2 are 4; a window of 7 × 7 has 49 taps.
    mixed = 20 * 20 * 48 + 2 * 20 * (49 * 20 + 2 * 50 * 20) + 4 * 33 * 80
    assert core_model(MADE["mixed_network"](precision)).work(0, "image_embedding") == mixed
    # Patches of 5 × 5 are 12 rows, 14 with those before them; 36 columns, 50 within. The embedding is of one query.
    layer = 108 * 36 + 2 * 14 * 36 + 36 * 36 + 3 * 50 * 36
    encoded = 12 * 36 * 75 + 14 * 2 * layer
    model = core_model(MADE["transformer"](precision))
    assert model.work(0, "class_token") == encoded
    assert model.work(0, "image_embedding") == encoded + 14 * 72 * 36 + 2 * 14 * 36


def test_what_the_model_does_not_take_is_refused() -> None:
    model = bert("int8")
    with pytest.raises(InputError, match=f"{LONGEST + 1} tokens, the model takes at most {LONGEST}"):
        model.work(LONGEST + 1, "sentence_embedding")
    with pytest.raises(InputError, match="the model has no output nothing"):
        model.work(1, "nothing")
