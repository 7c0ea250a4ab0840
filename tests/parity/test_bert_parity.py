"""Tiny random BERT models: transformers beside the file in fp32 and int8, and beside the reference."""

import numpy as np
import pytest
from random_models import ragged, save_bert, transformers_tokens

from embedrt import _core
from embedrt_convert import convert, reference
from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.quality import cosine
from embedrt_convert.sources import Folder

LONGEST = 64
SHAPES = {
    "one head": {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8},
    "head of 12": {"hidden_size": 36, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 50},
    "head of 10": {"hidden_size": 40, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 33},
    "head of 5": {"hidden_size": 15, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 17},
    "head of 32": {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 256},
    "head of 80": {"hidden_size": 80, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 96},
    "odd vocabulary": {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 263},
    "gelu_new": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40, "hidden_act": "gelu_new"},
    "relu": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40, "hidden_act": "relu"},
    "silu": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40, "hidden_act": "silu"},
    "one token type": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40, "type_vocab_size": 1},
    "epsilon": {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 40, "layer_norm_eps": 1e-3},
}


@pytest.fixture(scope="module", params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def saved(request, tmp_path_factory):
    """(folder, ids, offsets, transformers' token vectors)"""
    shape = {"num_hidden_layers": 2, "vocab_size": 101, **SHAPES[request.param]}
    folder = tmp_path_factory.mktemp("bert")
    model = save_bert(folder, **shape)
    ids, offsets = ragged(shape["vocab_size"], LONGEST)
    return folder, ids, offsets, transformers_tokens(model, ids, offsets)


def run(folder, tmp_path, quant, ids, offsets):
    model = _core.Model(str(convert(folder, tmp_path / "m.embedrt", quant=quant).path))
    return model.run(ids, offsets, "token_embeddings")


def test_the_reference_is_transformers(saved):
    folder, ids, offsets, expected = saved
    program = lower(huggingface.read(Folder(folder)))
    actual = reference.run(program, ids, offsets, "token_embeddings")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5)


def test_fp32(saved, tmp_path):
    folder, ids, offsets, expected = saved
    np.testing.assert_allclose(run(folder, tmp_path, "fp32", ids, offsets), expected, rtol=0, atol=2e-5)


def test_int8(saved, tmp_path):
    folder, ids, offsets, expected = saved
    actual = run(folder, tmp_path, "int8", ids, offsets)
    cosines = cosine(expected.astype(np.float64), actual.astype(np.float64))
    assert cosines.mean() > 0.998 and cosines.min() > 0.98
