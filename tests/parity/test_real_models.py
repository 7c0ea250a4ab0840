"""Real weights on STS-B dev: fp32 beside sentence-transformers, and what int8 costs.

EMBEDRT_TEST_MODELS is a folder with all-MiniLM-L6-v2/ and multilingual-e5-small/, EMBEDRT_TEST_DATA one with
stsb-{en,de,zh}-dev.csv; else: skipped.
"""

import csv
import itertools
import os
import pathlib

import numpy as np
import pytest
from outliers import with_outliers
from scipy.stats import spearmanr

import embedrt
from embedrt import _core
from embedrt_convert import choose_precision, convert, golden, writer
from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.quality import cosine
from embedrt_convert.quantize import Int8
from embedrt_convert.sources import Folder


def required(variable: str, file: str) -> pathlib.Path:
    path = pathlib.Path(os.environ.get(variable, "/nonexistent")) / file
    if not path.exists():
        pytest.skip(f"{variable} names no folder with {file}")
    return path


@pytest.fixture(scope="module")
def minilm():
    return required("EMBEDRT_TEST_MODELS", "all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def pairs():
    """STS-B dev: (first sentences, second sentences, scores)"""
    return pairs_of("en")


def pairs_of(language, step=1):
    with required("EMBEDRT_TEST_DATA", f"stsb-{language}-dev.csv").open(encoding="utf-8", newline="") as file:
        first, second, scores = zip(*itertools.islice(csv.reader(file), 0, None, step), strict=True)
    return list(first), list(second), np.array(scores, float)


@pytest.fixture(scope="module")
def expected(minilm, pairs):
    """sentence-transformers' vectors of both sentences of all pairs."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(minilm), device="cpu").encode(pairs[0] + pairs[1], batch_size=64)


def embed(minilm, texts, path, quant):
    model = _core.Model(str(convert(minilm, path, quant=quant).path))
    return model.run(*token_ids(huggingface.read(Folder(minilm)).text, texts), "sentence_embedding")


def token_ids(text, texts):
    """Ragged ids and offsets."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text.tokenizer)
    tokenizer.enable_truncation(text.max_tokens)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    return np.array(list(itertools.chain(*ids)), np.int32), np.cumsum([0, *map(len, ids)])


def spearman(vectors, pairs):
    half = len(pairs[0])
    return spearmanr(cosine(vectors[:half].astype(float), vectors[half:].astype(float)), pairs[2]).statistic


def test_minilm_fp32(minilm, pairs, expected, tmp_path):
    actual = embed(minilm, pairs[0] + pairs[1], tmp_path / "m.embedrt", "fp32")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)


def test_minilm_int8(minilm, pairs, expected, tmp_path, record_property):
    check_int8(expected, embed(minilm, pairs[0] + pairs[1], tmp_path / "m.embedrt", "int8"), pairs, record_property)


def test_minilm_with_outliers(minilm, pairs):
    """A channel at a hundred times the others in every norm: 16 bits where it is read, and nowhere else."""
    read = huggingface.read(Folder(minilm))
    program, norms = with_outliers(lower(read))
    int8, golden_texts = Int8(), golden.tokenise(read.text)
    some = choose_precision.some_texts(golden_texts.ids, golden_texts.offsets, golden_texts.types)
    precision = choose_precision.choose(program, int8, *some)
    names = [reason.partition(":")[0] for reason in precision.reasons()]
    assert norms == 12 and {name.rpartition(".")[2] for name in names} == {"qkv", "ffn_in"}

    def vectors(made):
        model = _core.Model(writer.in_memory([*writer.program_sections(made)]))
        return model.run(*token_ids(read.text, pairs[0][:300]), "sentence_embedding").astype(float)

    expected = vectors(program)
    chosen, plain = (cosine(expected, vectors(int8.program(program, finer))) for finer in (precision.finer, ()))
    print(f"8 bits {plain.mean():.5f} {plain.min():.5f}, chosen {chosen.mean():.5f} {chosen.min():.5f}")
    assert plain.mean() < 0.98 and chosen.mean() >= 0.998


@pytest.fixture(scope="module")
def e5(tmp_path_factory):
    """(the runtime's int8 model, sentence-transformers' model) of multilingual-e5-small"""
    from sentence_transformers import SentenceTransformer

    folder = required("EMBEDRT_TEST_MODELS", "multilingual-e5-small")
    path = tmp_path_factory.mktemp("e5") / "e5.embedrt"
    return embedrt.load(convert(folder, path).path), SentenceTransformer(str(folder), device="cpu")


@pytest.mark.parametrize("language", ["de", "zh"])
def test_e5_int8(e5, language, record_property):
    """On every fifth pair; all of them take minutes."""
    pairs = pairs_of(language, 5)
    ours, peer = (model.encode(pairs[0] + pairs[1], prompt="query: ") for model in e5)
    check_int8(peer, ours, pairs, record_property)


def check_int8(expected, actual, pairs, record_property):
    cosines = cosine(expected.astype(float), actual.astype(float))
    lost = spearman(expected, pairs) - spearman(actual, pairs)
    for name, value in (("mean", cosines.mean()), ("worst", cosines.min()), ("spearman lost", lost)):
        record_property(name, float(value))
        print(f"{name} {value:.5f}")
    assert cosines.mean() >= 0.998 and cosines.min() >= 0.99
    assert abs(lost) <= 0.003
