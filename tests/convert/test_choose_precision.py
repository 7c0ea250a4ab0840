"""Which instructions are made finer: those whose numbers int8 does not hold, and no others."""

import dataclasses

import numpy as np
import pytest

from embedrt import _core
from embedrt_convert import choose_precision, reference, writer
from embedrt_convert.builder import IDS, Program
from embedrt_convert.choose_precision import BUDGET, TOKENS, choose, some_texts
from embedrt_convert.quality import cosine
from embedrt_convert.quantize import Int8

VOCABULARY, WIDTH, LONGEST = 200, 32, 40


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(np.float32)


def table(outlier=1.0):
    words = normal(VOCABULARY, WIDTH)
    words[:, 5] *= outlier
    return words


def encoder(words=None, norm=None, query_bias=0.0) -> Program:
    """Words, a norm, attention of two heads, and the mean."""
    program = Program(vocabulary=VOCABULARY, max_tokens=LONGEST)
    x = program.op("lookup", IDS, name="words", table=table() if words is None else words)
    weight, bias = np.ones(WIDTH, np.float32), np.zeros(3 * WIDTH, np.float32)
    qkv = normal(3 * WIDTH, WIDTH, seed=1, scale=0.3)
    if norm is not None:
        weight[5] = norm
        qkv[:, 5] = 0
    if query_bias:
        bias[0] = query_bias  # of a column of the first head's queries, which that of all keys is the same to
        qkv[WIDTH] = 0
    x = program.op("norm", x, name="norm", weight=weight, kind="rms")
    x = program.op("linear", x, name="qkv", weight=qkv, bias=bias)
    x = program.op("attention", x, name="attention", heads=2, scale=0.25, precision="float32")
    program.outputs = {"sentence_embedding": program.op("normalize", program.op("pool", x, kind="mean"))}
    return program


def texts(seed=0):
    rng = np.random.default_rng(seed)
    lengths = [1, 3, 8, 20, 40, 5, 11]
    return rng.integers(0, VOCABULARY, sum(lengths)).astype(np.int32), np.cumsum([0, *lengths])


def finer_ops(program):
    chosen = choose(program, Int8(), *texts())
    return sorted(program.instructions[i].op for i in chosen.finer), chosen


def loss(program, finer):
    """1 - cosine of int8 to the float program, of other texts than those of the choice."""
    ids, offsets = texts(1)
    model = _core.Model(writer.in_memory([*writer.program_sections(Int8().program(program, finer))]))
    vectors = model.run(ids, offsets, "sentence_embedding").astype(float)
    return 1 - cosine(reference.run(program, ids, offsets), vectors).mean()


def test_numbers_of_one_size_are_left_to_8_bits():
    ops, chosen = finer_ops(encoder())
    assert ops == [] and chosen.costs == {} and 0 < chosen.cost <= BUDGET
    assert chosen.section() == {"cost_of_8_bits": pytest.approx(chosen.cost, rel=0.05), "finer": []}


@pytest.mark.parametrize(
    ("made", "ops", "what"),
    [
        ({"norm": 100.0}, ["linear"], "qkv: 16-bit input"),
        ({"query_bias": 300.0}, ["attention"], "attention after qkv: float32"),
        ({"words": table(1000.0), "norm": 1e-3}, ["lookup"], "words: two int8 tables"),
    ],
)
def test_what_bytes_do_not_hold_is_finer(made, ops, what):
    program = encoder(**made)
    found, chosen = finer_ops(program)
    assert found == ops
    (reason,) = chosen.reasons()
    assert reason.startswith(f"{what}, where 8 bits cost ")
    assert chosen.cost > BUDGET and next(iter(chosen.costs.values())) > BUDGET / 2
    assert loss(program, chosen.finer) <= 2 * BUDGET < loss(program, ())


def test_vectors_of_rows_count_where_there_are_no_others():
    program = encoder(norm=100.0)
    alone = dataclasses.replace(program, instructions=program.instructions[:4], outputs={"token_embeddings": 4})
    assert choose(alone, Int8(), *texts()).finer == {2}


def test_tables_may_begin_with_an_offset_and_stand_twice():
    """Rows that no id has are left out of the trial, whatever they hold."""
    words = table()
    words[:100] *= 1e6
    program = Program(vocabulary=100, max_tokens=LONGEST)
    x = program.op("lookup", IDS, name="words", table=words, offset=100)
    x = program.op("add", x, program.op("lookup", IDS, name="places", table=normal(40, WIDTH), index="position"))
    x = program.op("linear", x, name="dense", weight=normal(20, WIDTH, seed=2))
    program.outputs = {"sentence_embedding": program.op("pool", x, kind="mean")}
    ids, offsets = texts()
    chosen = choose(program, Int8(), (ids % 100).astype(np.int32), offsets)
    assert chosen.finer == frozenset() and chosen.cost < BUDGET


def test_ids_beyond_the_vocabulary_are_not_measured():
    ids, offsets = texts()
    assert choose(encoder(), Int8(), ids + 100, offsets) == choose_precision.Precision()
    assert choose_precision.Precision().section() == {}


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [([3, 0, 4], [3, 4]), ([9, TOKENS, 1, 2], [1, 2, 9]), ([TOKENS - 1, 2, 1], [1, 2]), ([TOKENS + 3], [TOKENS + 3])],
)
def test_some_texts(lengths, chosen):
    total = sum(lengths)
    ids, offsets, types = some_texts(np.arange(total, dtype=np.int32), np.cumsum([0, *lengths]), np.arange(total) % 2)
    assert np.diff(offsets).tolist() == chosen and len(ids) == offsets[-1]
    assert (types == ids % 2).all() and (np.diff(np.delete(ids, offsets[1:-1])) > 0).sum() >= len(ids) - 2 * len(chosen)


def test_a_finer_lookup_is_two_tables():
    program, int8 = encoder(words=table(1000.0)), Int8()
    first, second, together, norm, *_ = int8.program(program, {0}).instructions
    assert [first.op, second.op, together.op] == ["lookup", "lookup", "add"]
    assert together.inputs == (1, 2) and norm.inputs == (3,)
    assert first.tensors["table"].name == "words.table" and second.tensors["table"].name == "words.rest.table"
    assert int8.program(program).instructions[0].tensors["table"] is first.tensors["table"]
    values = sum(
        one.tensors["table"].data.astype(np.float64) * one.tensors["scale"].data[:, None] for one in (first, second)
    )
    words = program.instructions[0].tensors["table"].data
    step = np.abs(words).max(axis=1, keepdims=True) / 127
    assert (np.abs(values - words) <= step / 127 / 4 * 1.01 + np.abs(words) * 2.0**-23).all()
    assert (np.abs(values - words)[:, :5] > 0).any()


def test_outputs_of_what_follows_a_finer_lookup():
    ids, offsets = texts()
    program = encoder()
    finest = Int8().program(program, {0, 2, 3})
    assert len(finest.instructions) == len(program.instructions) + 2
    expected, found = (reference.run(one, ids, offsets) for one in (program, finest))
    np.testing.assert_allclose(found, expected, atol=0.02)
