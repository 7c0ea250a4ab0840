"""Tiny random models saved by sentence-transformers: poolings, Dense, Normalize, limits, prompts, tokens."""

import itertools

import numpy as np
import pytest
import torch
from random_models import save_bert, write_json
from sentence_transformers import SentenceTransformer, models
from tokenizers import Tokenizer

from embedrt import _core
from embedrt_convert import convert
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

HIDDEN = 36
TEXTS = [
    "",
    "a",
    "Hello, WORLD. How do cats run?",
    "the cat ran on the mat and the dog is on my password",
    "naïve café — ÀÉÎ",
    "the of and " * 30,
]
POOLINGS = ["mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
ACTIVATIONS = [torch.nn.Tanh, torch.nn.Identity, torch.nn.ReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Sigmoid]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    save_bert(folder, hidden_size=HIDDEN, num_attention_heads=3, num_hidden_layers=2, intermediate_size=50)
    return folder


def transformer(bert):
    return models.Transformer(str(bert))


def check(model: SentenceTransformer, tmp_path, limit: int = 64) -> None:
    """The model, saved and converted in fp32, gives the vectors that it gives itself."""
    model.save(str(tmp_path / "saved"))
    checkpoint = huggingface.read(Folder(tmp_path / "saved"))
    assert checkpoint.text.max_tokens == model.max_seq_length == limit
    tokenizer = Tokenizer.from_str(checkpoint.text.tokenizer)
    tokenizer.enable_truncation(limit)
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    assert ids == [model.tokenizer(text, truncation=True, max_length=limit)["input_ids"] for text in TEXTS]
    file = _core.Model(str(convert(tmp_path / "saved", tmp_path / "m.embedrt", quant="fp32").path))
    flat = np.array(list(itertools.chain(*ids)), np.int32)
    actual = file.run(flat, np.cumsum([0, *map(len, ids)]), "sentence_embedding")
    np.testing.assert_allclose(actual, model.encode(TEXTS, prompt=""), rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", POOLINGS)
def test_pooling(bert, tmp_path, mode):
    check(SentenceTransformer(modules=[transformer(bert), models.Pooling(HIDDEN, mode)], device="cpu"), tmp_path)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_then_normalize(bert, tmp_path, activation):
    torch.manual_seed(1)
    dense = models.Dense(HIDDEN, 21, bias=activation is not torch.nn.Tanh, activation_function=activation())
    modules = [transformer(bert), models.Pooling(HIDDEN, "mean"), dense, models.Normalize()]
    check(SentenceTransformer(modules=modules, device="cpu"), tmp_path)


@pytest.mark.parametrize("columns", [HIDDEN, 24])
def test_dense_with_a_residual(bert, tmp_path, columns):
    torch.manual_seed(2)
    try:
        dense = models.Dense(HIDDEN, columns, use_residual=True)
    except TypeError:
        pytest.skip("this sentence-transformers has no use_residual")
    check(
        SentenceTransformer(modules=[transformer(bert), models.Pooling(HIDDEN, "cls"), dense], device="cpu"), tmp_path
    )


def test_a_length_limit_and_prompts(bert, tmp_path):
    model = SentenceTransformer(
        modules=[transformer(bert), models.Pooling(HIDDEN, "mean")],
        device="cpu",
        prompts={"query": "query: ", "document": ""},
        default_prompt_name="query",
    )
    model.max_seq_length = 19
    check(model, tmp_path, limit=19)
    text = huggingface.read(Folder(tmp_path / "saved")).text
    assert text.prompts == model.prompts and text.default_prompt_name == "query"


def test_a_plain_folder_is_pooled_as_sentence_transformers_does(bert, tmp_path):
    model = SentenceTransformer(str(bert), device="cpu")
    file = _core.Model(str(convert(bert, tmp_path / "m.embedrt", quant="fp32").path))
    ids = [model.tokenizer(text, truncation=True, max_length=64)["input_ids"] for text in TEXTS]
    flat = np.array(list(itertools.chain(*ids)), np.int32)
    actual = file.run(flat, np.cumsum([0, *map(len, ids)]), "sentence_embedding")
    np.testing.assert_allclose(actual, model.encode(TEXTS), rtol=0, atol=2e-5)


def test_a_pickled_checkpoint(bert, tmp_path):
    files = Folder(bert)
    tensors = {name: torch.tensor(np.array(value)) for name, value in huggingface.read(files).tensors.items()}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes(files.read(name))
    write_json(
        tmp_path / "modules.json",
        [
            {"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ],
    )
    (tmp_path / "1_Pooling").mkdir()
    write_json(tmp_path / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    first, second = (huggingface.read(each) for each in (files, Folder(tmp_path)))
    assert first.tensors.keys() == second.tensors.keys()
    for name, value in first.tensors.items():
        np.testing.assert_array_equal(second.tensors[name], value)
