"""Long texts and wide models: transformers beside random weights in fp32 and int8, and the memory of a long text."""

import itertools
import sys

import numpy as np
import pytest
import torch
from random_models import save_bert, transformers_tokens

from embedrt import _core
from embedrt_bench import long
from embedrt_convert import convert
from embedrt_convert.quality import cosine

VOCABULARY = 101
SHARPER = 1.5
LONGEST = 8192
# Two layers: what the first makes of a long text is attended to again.
NARROW = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96}
NARROW |= {"max_position_embeddings": LONGEST}
WIDE = {"num_hidden_layers": 1, "max_position_embeddings": 80}
# name: (shape, tokens of each text)
CASES = {
    "2,048 tokens": (NARROW, [2048, 5, 2047]),
    "8,192 tokens": (NARROW, [LONGEST]),
    "768 columns": ({"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072, **WIDE}, [70, 1, 71]),
    "1,024 columns": ({"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, **WIDE}, [70, 1, 71]),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(" ", "-"))
def saved(request, tmp_path_factory):
    """(folder, ids, offsets, transformers' token vectors)"""
    shape, lengths = CASES[request.param]
    folder = tmp_path_factory.mktemp("bert")
    # Sums over more columns, as large as those over 64.
    spread = 0.15 * (64 / shape["hidden_size"]) ** 0.5
    model = save_bert(folder, vocab_size=VOCABULARY, initializer_range=spread, **shape)
    # Scores that choose a few of thousands of keys: with the same weight for every key, the vectors of 8,192 tokens
    # would have cosines of .95, .81 at worst, to the right ones; without this .991 and .973.
    with torch.no_grad():
        for layer in model.encoder.layer:
            layer.attention.self.query.weight *= SHARPER
            layer.attention.self.key.weight *= SHARPER
    model.save_pretrained(folder)
    offsets = np.cumsum([0, *lengths])
    ids = np.random.default_rng(0).integers(0, VOCABULARY, offsets[-1], dtype=np.int32)
    # Each text alone: nothing is padded.
    texts = [transformers_tokens(model, ids[a:b], np.array([0, b - a])) for a, b in itertools.pairwise(offsets)]
    return folder, ids, offsets, np.concatenate(texts)


def run(folder, tmp_path, quant, ids, offsets):
    path = str(convert(folder, tmp_path / "m.embedrt", quant=quant).path)
    one, two = (_core.Model(path, threads=n).run(ids, offsets, "token_embeddings") for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    return one


def test_fp32(saved, tmp_path):
    folder, ids, offsets, expected = saved
    np.testing.assert_allclose(run(folder, tmp_path, "fp32", ids, offsets), expected, rtol=0, atol=2e-5)


def test_int8(saved, tmp_path):
    folder, ids, offsets, expected = saved
    cosines = cosine(expected.astype(np.float64), run(folder, tmp_path, "int8", ids, offsets).astype(np.float64))
    assert cosines.mean() > 0.998 and cosines.min() > 0.98


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_one_text(tmp_path):
    # One layer has everything that is alive at a time.
    shape = {"hidden_size": 384, "num_attention_heads": 12, "num_hidden_layers": 1, "intermediate_size": 1536}
    save_bert(tmp_path / "bert", max_position_embeddings=LONGEST, **shape)
    path = convert(tmp_path / "bert", tmp_path / "m.embedrt").path
    # A float32 of each token and column is 12.6 MB. With q, k and v of one head at a time this is 48 MB with one
    # thread and 53 MB with two; 16 heads of 24 columns, whose q, k and v are made all at once, take 72 and 77 MB. The
    # scores of one head would be 268 MB.
    for row in long.measure(str(path), [1, 2], [LONGEST]):
        assert 25e6 < row["peak_rss"] - row["query_peak_rss"] < 62e6
