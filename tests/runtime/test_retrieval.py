"""Sparse weights and vectors of tokens, from tiny programs in which every token has its own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tiny_retrieval
from tiny_retrieval import COLUMNS, MULTI, VOCABULARY, write_retrieval

import embedrt
from embedrt import EmbedrtError, FormatError, InputError, TruncationWarning
from embedrt._encode_retrieval import _MOST_BYTES

TEXTS = ["hello world", "", "the hello of the world and the password", "my my password", "how do"]
SPARSE, WEIGHTS, MULTI_VECTOR = "sparse_embedding", "token_weights", "multi_vector_embedding"


def model(tmp_path, *outputs, threads=None, **text):
    return embedrt.load(str(write_retrieval(tmp_path / "model.embedrt", outputs, **text)), threads=threads)


def lexical(tokens, skip=()):
    """{id: weight} of a text's tokens."""
    weights = tiny_retrieval.table()[:, 0]
    return {token: weights[token] for token in tokens if weights[token] > 0 and token not in skip}


def units(tokens):
    rows = tiny_retrieval.table()[list(tokens)].astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_sparse_rows_are_log_of_the_greatest_logits(tmp_path, threads):
    loaded = model(tmp_path, SPARSE, threads=threads)
    rows = loaded.encode_sparse(TEXTS)
    assert rows.shape == (len(TEXTS), VOCABULARY) and len(rows) == len(TEXTS)
    for dense, text in zip(rows.toarray(), TEXTS, strict=True):
        scores = tiny_retrieval.table()[loaded.token_ids(text)].astype(np.float64) @ tiny_retrieval.logits().T
        np.testing.assert_allclose(dense, np.log1p(np.maximum(scores.max(axis=0), 0)), atol=1e-6)
    assert loaded.dim == VOCABULARY


def test_weights_of_tokens_count_once_and_some_never(tmp_path):
    plain = model(tmp_path, "sentence_embedding", WEIGHTS)
    skip = [2, *plain.token_ids("password")]
    loaded = model(tmp_path, "sentence_embedding", WEIGHTS, sparse={"skip": skip, "max_active_dims": None})
    for each, skipped in ((plain, ()), (loaded, skip)):
        rows = each.encode_sparse(TEXTS)
        for number, text in enumerate(TEXTS):
            expected = lexical(each.token_ids(text), skipped)
            columns, weights = rows.row(number)
            assert dict(zip(columns.tolist(), weights, strict=True)) == expected
            assert columns.tolist() == sorted(expected)


def test_the_greatest_weights_of_a_row(tmp_path):
    loaded = model(tmp_path, SPARSE, sparse={"skip": [], "max_active_dims": 4})
    every = loaded.encode_sparse(TEXTS, max_active_dims=VOCABULARY).toarray()
    for rows, most in ((loaded.encode_sparse(TEXTS), 4), (loaded.encode_sparse(TEXTS, max_active_dims=2), 2)):
        assert (np.diff(rows.indptr) <= most).all()
        for row, dense in zip(rows.toarray(), every, strict=True):
            kept = np.argsort(-dense, kind="stable")[:most]
            expected = np.zeros_like(dense)
            expected[kept] = dense[kept]
            np.testing.assert_array_equal(row, expected)
    with pytest.raises(InputError, match="max_active_dims is 0"):
        loaded.encode_sparse(TEXTS, max_active_dims=0)
    with pytest.raises(TypeError, match="max_active_dims is a float"):
        loaded.encode_sparse(TEXTS, max_active_dims=2.0)


def test_more_texts_than_the_core_gives_at_once(tmp_path):
    loaded = model(tmp_path, SPARSE)
    texts = TEXTS * (_MOST_BYTES // (4 * VOCABULARY) // len(TEXTS) + 3)
    rows = loaded.encode_sparse(texts)
    few = loaded.encode_sparse(TEXTS)
    assert len(rows) == len(texts)
    assert rows.data.tobytes() == np.tile(few.data, len(texts) // len(TEXTS)).tobytes()


def test_sparse_rows_by_themselves(tmp_path):
    rows = model(tmp_path, SPARSE).encode_sparse(TEXTS)
    dense = rows.toarray()
    np.testing.assert_allclose(rows.similarity(rows), dense.astype(np.float64) @ dense.T, rtol=1e-6)
    tokens = rows.decode(0)
    assert [weight for _, weight in tokens] == sorted((float(x) for x in dense[0] if x), reverse=True)
    assert rows.decode(0, 2) == tokens[:2]
    again = pickle.loads(pickle.dumps(rows))
    np.testing.assert_array_equal(again.toarray(), dense)
    for broken, error in (
        (lambda: again.decode(0), "were pickled"),
        (lambda: rows.decode(0, 0), "top_k is 0"),
        (lambda: rows.row(len(TEXTS)), "there is no row 5 of 5"),
        (lambda: rows.similarity(embedrt.SparseRows(rows.data, rows.indices, rows.indptr, (5, 3))), "have no product"),
    ):
        with pytest.raises(EmbedrtError, match=error):
            broken()
    assert len(model(tmp_path, SPARSE).encode_sparse([])) == 0
    assert len(model(tmp_path, SPARSE).encode_sparse("hello")) == 1


def test_vectors_of_tokens(tmp_path):
    loaded = model(tmp_path, MULTI_VECTOR, multi_vector=MULTI)
    for is_query, prompt in ((True, "the "), (False, "world ")):
        found = loaded.encode_multi_vector(TEXTS, is_query=is_query)
        for rows, text in zip(found, TEXTS, strict=True):
            np.testing.assert_allclose(rows, units(loaded.token_ids(prompt + text)[:99]), atol=1e-6)
    one = loaded.encode_multi_vector("hello", prompt="")
    np.testing.assert_allclose(one, units(loaded.token_ids("hello")), atol=1e-6)
    assert loaded.dim == COLUMNS


def test_what_is_left_out_of_vectors(tmp_path):
    skip = model(tmp_path, MULTI_VECTOR).token_ids("hello")[1:2]
    multi = {**MULTI, "document": {"max_tokens": 16, "skip": skip}, "first": 1}
    loaded = model(tmp_path, MULTI_VECTOR, multi_vector=multi)
    ids = loaded.token_ids("hello my world")
    documents = loaded.encode_multi_vector("hello my world", prompt="")
    np.testing.assert_allclose(documents, units([each for each in ids[1:] if each not in skip]), atol=1e-6)
    queries = loaded.encode_multi_vector("hello my world", prompt="", is_query=True)
    np.testing.assert_allclose(queries, units(ids[1:]), atol=1e-6)


@pytest.mark.parametrize("attended", [True, False])
def test_queries_are_filled_up(tmp_path, attended):
    expansion = {"id": 4, "to": 9, "cut": True, "attended": attended}
    multi = {**MULTI, "query": {"max_tokens": 9, "skip": []}, "expansion": expansion}
    loaded = model(tmp_path, MULTI_VECTOR, multi_vector=multi)
    with pytest.warns(TruncationWarning, match="1 of 5 texts over the limit"):
        found = loaded.encode_multi_vector(TEXTS, is_query=True, prompt="")
    for rows, text in zip(found, TEXTS, strict=True):
        ids = loaded.token_ids(text)
        filled = (ids + [4] * 9)[:9] if len(ids) <= 9 else [*ids[:8], ids[-1]]
        np.testing.assert_allclose(rows, units(filled), atol=1e-6)
    with pytest.raises(InputError, match="all have 9 tokens"):
        loaded.encode_multi_vector("hello", is_query=True, max_tokens=5)
    with pytest.raises(InputError, match=r"texts\[2\] has 13 tokens or more"):
        loaded.encode_multi_vector(TEXTS, is_query=True, prompt="", on_long="error")


def test_one_pass(tmp_path):
    loaded = model(tmp_path, "sentence_embedding", WEIGHTS, MULTI_VECTOR)
    dense, sparse, vectors = loaded.encode_all(TEXTS)
    assert dense.tobytes() == loaded.encode(TEXTS).tobytes()
    assert sparse.data.tobytes() == loaded.encode_sparse(TEXTS).data.tobytes()
    for rows, others in zip(vectors, loaded.encode_multi_vector(TEXTS, prompt=""), strict=True):
        assert rows.tobytes() == others.tobytes()
    empty = loaded.encode_all([])
    assert (empty.dense.shape, len(empty.sparse), empty.multi_vector) == ((0, COLUMNS), 0, [])


def test_models_that_do_not_give_it(tmp_path):
    dense = model(tmp_path, "sentence_embedding")
    for call, problem in (
        (dense.encode_sparse, "does not give sparse weights"),
        (dense.encode_multi_vector, "does not give vectors of tokens"),
        (dense.encode_all, "does not give sparse weights"),
        (model(tmp_path, SPARSE).encode_all, "does not give a vector a text"),
    ):
        with pytest.raises(EmbedrtError, match=problem):
            call(TEXTS)
    two = {**MULTI, "document": MULTI["query"], "expansion": {"id": 4, "to": 9, "cut": False, "attended": True}}
    sided = model(tmp_path, "sentence_embedding", WEIGHTS, MULTI_VECTOR, multi_vector=two)
    with pytest.raises(EmbedrtError, match="treats queries and documents differently"):
        sided.encode_all(TEXTS)


def test_maxsim():
    query, document = np.eye(3, dtype=np.float32), np.array([[1, 2, 0], [0, 0, -1]], np.float32)
    assert embedrt.maxsim(query, document) == 1 + 2 + 0
    assert embedrt.maxsim(query, [document, document[:0], -document]).tolist() == [3, 0, 0 + 0 + 1]
    assert embedrt.maxsim(query, []).shape == (0,)
    with pytest.raises(InputError, match=r"query has 3 columns and documents\[0\] has 2"):
        embedrt.maxsim(query, [document[:, :2]])
    with pytest.raises(InputError, match="query has 1 dimensions"):
        embedrt.maxsim(query[0], document)


BROKEN = [
    ("sparse", {"skip": [VOCABULARY], "max_active_dims": None}, r"sparse.skip\[0\]: \d+ is not within"),
    ("sparse", {"skip": [], "max_active_dims": 0}, "sparse.max_active_dims: 0 is not within"),
    ("sparse", {"skip": [], "most": 1}, "unknown key 'most'"),
    ("sparse", {"max_active_dims": None}, "'skip' is missing"),
    ("multi_vector", {**MULTI, "first": 2}, "first: 2 is not within 0 to 1"),
    ("multi_vector", {**MULTI, "query": {"max_tokens": 49, "skip": []}}, "query.max_tokens: 49 is not within"),
    ("multi_vector", {**MULTI, "query": {"max_tokens": 9, "skip": [], "x": 1}}, "unknown key 'x'"),
    ("multi_vector", {**MULTI, "document": {"max_tokens": 9, "skip": [-1]}}, r"document.skip\[0\]: -1 is not within"),
    (
        "multi_vector",
        {**MULTI, "expansion": {"id": 4, "to": 17, "cut": True, "attended": True}},
        "expansion.to: 17 is not within 1 to 16",
    ),
    ("multi_vector", {**MULTI, "expansion": {"id": 4, "to": 9, "cut": 1, "attended": True}}, "cut: expected true or"),
    ("multi_vector", {key: MULTI[key] for key in ("query", "first")}, "'document' is missing"),
]


@pytest.mark.parametrize(("key", "value", "problem"), BROKEN)
def test_text_sections_that_are_refused(tmp_path, key, value, problem):
    with pytest.raises(FormatError, match=problem):
        model(tmp_path, SPARSE, MULTI_VECTOR, **{key: value})
