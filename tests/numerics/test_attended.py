"""Attention where a call says that tokens at the end of a text are not seen: NumPy in float64, and the bits of less."""

from __future__ import annotations

import numpy as np
import pytest
from numeric_programs import RowsProgram, core_model, encoder, normal, offsets_of, rng

from embedrt import InputError
from embedrt_convert import reference

LENGTHS = (1, 5, 0, 17, 33, 64)
SEEN = np.array([1, 3, 0, 16, 17, 2])
WIDTH, HEADS = 16, 3


@pytest.mark.parametrize(("precision", "most"), [("float32", 2e-5), ("int8", 0.1)])
@pytest.mark.parametrize("biased", [False, True])
def test_rows_see_only_the_first_tokens(precision: str, most: float, biased: bool) -> None:
    rows = sum(LENGTHS)
    x = normal(rng(1), rows, 3 * HEADS * WIDTH)
    case = RowsProgram(x, lengths=LENGTHS)
    table = normal(rng(2), HEADS, 2 * max(LENGTHS) - 1) if biased else None
    case.op("attention", heads=HEADS, scale=0.25, precision=precision, bias=table)
    offsets = offsets_of(LENGTHS)
    found = core_model(case.program).run(case.ids, offsets, "token_embeddings", attended=SEEN)
    expected = np.zeros((rows, HEADS * WIDTH))
    q, k, v = x.astype(np.float64).reshape(rows, 3, HEADS, WIDTH).transpose(1, 2, 0, 3)
    texts = [each for each in zip(offsets, offsets[1:], SEEN, strict=False) if each[2]]
    for begin, end, seen in texts:
        for head in range(HEADS):
            scores = q[head, begin:end] @ k[head, begin : begin + seen].T * 0.25
            if table is not None:
                distance = np.arange(seen) - np.arange(end - begin)[:, None]
                scores += table[head][distance + max(LENGTHS) - 1]
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            y = p / p.sum(axis=1, keepdims=True) @ v[head, begin : begin + seen]
            expected[begin:end, head * WIDTH : (head + 1) * WIDTH] = y
    assert np.abs(found - expected).max() <= most
    ours = reference.run(case.program, case.ids, offsets, "token_embeddings", attended=SEEN)
    assert np.abs(ours - expected).max() <= (1e-12 if precision == "float32" else most)
    assert np.abs(found - ours).max() <= (2e-5 if precision == "float32" else 0.02)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize("hidden", [36, 48])  # heads of 16 columns: attention computes its q, k and v itself
def test_what_is_not_seen_changes_no_bit_of_the_rest(precision: str, hidden: int) -> None:
    program = encoder(precision, hidden=hidden)
    ids = rng(3).integers(0, 97, sum(LENGTHS)).astype(np.int32)
    offsets = offsets_of(LENGTHS)
    seen = np.minimum(SEEN + 47, np.diff(offsets))  # the second layer sees 40 on each side
    outputs = []
    for threads in (1, 3):
        model = core_model(program, threads)
        outputs.append(model.run(ids, offsets, "token_embeddings", attended=seen))
        short = np.concatenate([ids[begin : begin + n] for begin, n in zip(offsets, seen, strict=False)])
        alone = model.run(short, offsets_of(seen.tolist()), "token_embeddings")
        kept = np.concatenate([outputs[-1][begin : begin + n] for begin, n in zip(offsets, seen, strict=False)])
        assert kept.tobytes() == alone.tobytes()
    assert outputs[0].tobytes() == outputs[1].tobytes()
    everything = model.run(ids, offsets, "token_embeddings", attended=np.diff(offsets))
    assert everything.tobytes() == model.run(ids, offsets, "token_embeddings").tobytes()


def test_refusals() -> None:
    case = RowsProgram(normal(rng(1), 8, 12), lengths=(3, 5))
    case.op("attention", heads=2, window=2)
    model, offsets = core_model(case.program), offsets_of((3, 5))
    for attended, problem in (
        ([3], "1 numbers of attended tokens for 2 texts"),
        ([3, 6], "text 1: 6 attended tokens of 5"),
        ([0, 5], "text 0: 0 attended tokens of 3"),
        (
            [3, 2],
            "text 1: its last token sees none of the 2 attended tokens: the model's attention sees 2 on each side",
        ),
    ):
        with pytest.raises(InputError, match=problem):
            model.run(case.ids, offsets, "token_embeddings", attended=np.array(attended))
    model.run(case.ids, offsets, "token_embeddings", attended=np.array([1, 3]))
