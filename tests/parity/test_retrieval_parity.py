"""SPLADE and late interaction beside sentence-transformers; BGE-M3's heads beside transformers and linear layers."""

from __future__ import annotations

import warnings

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import retrieval_models as made
import torch
from sentence_transformers import MultiVectorEncoder, SparseEncoder
from sentence_transformers.util import maxsim
from transformers import XLMRobertaModel

import embedrt
from embedrt_convert.pipeline import convert

TEXTS = made.TEXTS
FP32 = 2e-5


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", embedrt.TruncationWarning)
        yield


def converted(folder, quant="fp32", **options):
    path = folder.with_name(f"{folder.name}.{quant}.embedrt")
    convert(folder, path, quant=quant, **options)
    return embedrt.load(str(path))


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def sparse(request, tmp_path_factory):
    """(the encoder of sentence-transformers, our fp32 file and our int8 one)."""
    folder = tmp_path_factory.mktemp("sparse") / request.param
    made.save_sparse(folder, request.param)
    return SparseEncoder(str(folder), device="cpu"), converted(folder), converted(folder, "int8")


def test_sparse_weights(sparse):
    theirs, ours, int8 = sparse
    expected = theirs.encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    rows = ours.encode_sparse(TEXTS)
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows.toarray(), expected, rtol=0, atol=FP32)
    assert rows.data.min() > 0
    assert cosines(int8.encode_sparse(TEXTS).toarray(), expected).min() > 0.995
    np.testing.assert_allclose(rows.similarity(rows), theirs.similarity(expected, expected), rtol=1e-4)
    scipy = rows.to_scipy()
    np.testing.assert_array_equal(scipy.toarray(), rows.toarray())
    assert ours.info.text.similarity == "dot"


def test_sparse_weights_one_by_one_are_the_same_bits(sparse):
    for model in sparse[1:]:
        together = model.encode_sparse(TEXTS).toarray()
        alone = np.concatenate([model.encode_sparse(text).toarray() for text in TEXTS])
        assert together.tobytes() == alone.tobytes()


def test_the_greatest_weights_and_their_tokens(sparse):
    theirs, ours, _ = sparse
    for most in (1, 7, 200):
        expected = theirs.encode(TEXTS, convert_to_sparse_tensor=False, max_active_dims=most).numpy()
        np.testing.assert_allclose(ours.encode_sparse(TEXTS, max_active_dims=most).toarray(), expected, atol=FP32)
    found, wanted = ours.encode_sparse(TEXTS).decode(0, 5), theirs.decode(theirs.encode(TEXTS[0]), 5)
    assert [token for token, _ in found] == [token for token, _ in wanted]
    np.testing.assert_allclose([weight for _, weight in found], [weight for _, weight in wanted], atol=FP32)


def test_a_folder_says_how_many_weights(tmp_path):
    made.save_sparse(tmp_path / "few", max_active_dims=9)
    rows = converted(tmp_path / "few").encode_sparse(TEXTS)
    assert np.diff(rows.indptr).tolist() == [9] * len(TEXTS)
    expected = SparseEncoder(str(tmp_path / "few"), device="cpu").encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_allclose(rows.toarray(), expected, atol=FP32)


def test_a_masked_language_model_is_one_on_request(tmp_path):
    made.save_masked_lm(tmp_path / "mlm")
    assert "sentence_embedding" in converted(tmp_path / "mlm")._open().outputs()
    expected = SparseEncoder(str(tmp_path / "mlm"), device="cpu").encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    rows = converted(tmp_path / "mlm", head="splade").encode_sparse(TEXTS)
    np.testing.assert_allclose(rows.toarray(), expected, atol=FP32)


FIXED = {"strategy": "fixed", "length": 16}
FORMATS = {
    "attended": lambda folder: made.save_multi_vector(folder, {**FIXED, "attend": True}, document_length=40),
    "not attended": lambda folder: made.save_multi_vector(folder, {**FIXED, "attend": False}),
    "at least": lambda folder: made.save_multi_vector(
        folder, {"strategy": "min", "length": 12, "token": "[UNK]"}, query_length=19
    ),
    "not filled up": lambda folder: made.save_multi_vector(folder, None, query_length=9),
    "PyLate": lambda folder: made.save_pylate(
        folder, query_prefix="[Q] ", document_prefix="[D] ", query_length=20, document_length=30
    ),
    "PyLate, attended": lambda folder: made.save_pylate(
        folder, query_prefix="the ", document_prefix="", skiplist_words=["."], attend_to_expansion_tokens=True
    ),
    "PyLate, not filled up": lambda folder: made.save_pylate(folder, do_query_expansion=False, query_length=12),
    "Stanford": lambda folder: made.save_stanford(folder, query_maxlen=16, doc_maxlen=33),
    "Stanford, attended": lambda folder: made.save_stanford(
        folder, mask_punctuation=False, attend_to_mask_tokens=True, query_token_id="[unused1]"
    ),
}


@pytest.fixture(scope="module", params=FORMATS)
def late(request, tmp_path_factory):
    """(the encoder of sentence-transformers, our fp32 file and our int8 one)."""
    folder = tmp_path_factory.mktemp("late") / "model"
    FORMATS[request.param](folder)
    return MultiVectorEncoder(str(folder), device="cpu"), converted(folder), converted(folder, "int8")


@pytest.mark.parametrize("is_query", [True, False])
def test_vectors_of_tokens(late, is_query):
    theirs, ours, int8 = late
    expected = (theirs.encode_query if is_query else theirs.encode_document)(TEXTS, convert_to_numpy=True)
    found = ours.encode_multi_vector(TEXTS, is_query=is_query)
    assert [each.shape for each in found] == [each.shape for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=FP32)
    for one, other in zip(int8.encode_multi_vector(TEXTS, is_query=is_query), expected, strict=True):
        assert cosines(one, other).min() > 0.99
    for model in (ours, int8):
        together = model.encode_multi_vector(TEXTS, is_query=is_query)
        for text, rows in zip(TEXTS, together, strict=True):
            assert model.encode_multi_vector(text, is_query=is_query).tobytes() == rows.tobytes()


def test_maxsim(late):
    _, ours, _ = late
    queries = ours.encode_multi_vector(TEXTS[:2], is_query=True)
    documents = ours.encode_multi_vector(TEXTS)
    expected = maxsim(queries, documents).numpy()
    found = np.stack([embedrt.maxsim(query, documents) for query in queries])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert embedrt.maxsim(queries[0], documents[1]) == found[0, 1]


@pytest.fixture(scope="module")
def bge_m3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bge") / "m3"
    made.save_bge_m3(folder)
    return folder, converted(folder), converted(folder, "int8")


def of_bge_m3(folder, ids):
    """Vector, {id: weight} and vectors of tokens, as FlagEmbedding makes them of the encoder's rows."""
    encoder = XLMRobertaModel.from_pretrained(folder, attn_implementation="eager").eval()
    heads = {name: torch.load(folder / f"{name}_linear.pt", weights_only=True) for name in ("sparse", "colbert")}
    with torch.no_grad():
        rows = encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
        dense = torch.nn.functional.normalize(rows[0], dim=0).numpy()
        weights = torch.relu(rows @ heads["sparse"]["weight"].T + heads["sparse"]["bias"])[:, 0].tolist()
        vectors = rows[1:] @ heads["colbert"]["weight"].T + heads["colbert"]["bias"]
    lexical: dict[int, float] = {}
    for token, weight in zip(ids, weights, strict=True):
        if token not in (0, 1, 2, 3) and weight > lexical.get(token, 0):
            lexical[token] = weight
    return dense, lexical, torch.nn.functional.normalize(vectors, dim=1).numpy()


def test_bge_m3(bge_m3):
    folder, ours, int8 = bge_m3
    found = ours.encode_all(TEXTS)
    for number, text in enumerate(TEXTS):
        dense, lexical, vectors = of_bge_m3(folder, ours.token_ids(text))
        np.testing.assert_allclose(found.dense[number], dense, atol=FP32)
        np.testing.assert_allclose(found.multi_vector[number], vectors, atol=FP32)
        columns, weights = found.sparse.row(number)
        assert columns.tolist() == sorted(lexical)
        np.testing.assert_allclose(weights, [lexical[column] for column in sorted(lexical)], atol=FP32)
        assert cosines(int8.encode_multi_vector(text), vectors).min() > 0.99


def test_one_pass_gives_the_bits_of_three(bge_m3):
    for model in bge_m3[1:]:
        dense, sparse, vectors = model.encode_all(TEXTS)
        assert dense.tobytes() == model.encode(TEXTS).tobytes()
        alone = model.encode_sparse(TEXTS)
        assert (sparse.data.tobytes(), sparse.indices.tobytes()) == (alone.data.tobytes(), alone.indices.tobytes())
        for one, other in zip(vectors, model.encode_multi_vector(TEXTS), strict=True):
            assert one.tobytes() == other.tobytes()
