"""Tiny models made like Qwen3-Embedding and EmbeddingGemma: their sentence vectors beside sentence-transformers."""

import numpy as np
import pytest
import torch
from families.case import randomise
from sentence_transformers import SentenceTransformer, models
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

import embedrt
from embedrt._tokenizer_parts import SPLIT_PATTERNS
from embedrt_convert import convert
from embedrt_convert.golden import TEXTS

PROMPTS = {"query": "Instruct: Given a search query, find passages\nQuery:", "document": ""}
SIZES = {
    "vocab_size": 400,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "intermediate_size": 80,
    "max_position_embeddings": 256,
}


def save_tokenizer(folder):
    """Bytes in pairs, as Qwen's and with its end of every text; batches are padded on the left."""
    made = Tokenizer(BPE())
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT_PATTERNS["qwen2"]), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=399, initial_alphabet=alphabet, special_tokens=["<end>"])
    )
    made.post_processor = processors.TemplateProcessing("$A <end>", "$A $B <end>", [("<end>", 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<end>", eos_token="<end>", padding_side="left", model_max_length=256
    ).save_pretrained(folder)


def qwen3():
    return Qwen3Model(Qwen3Config(**SIZES)), lambda: [models.Pooling(48, "lasttoken"), models.Normalize()]


def gemma3():
    config = Gemma3TextConfig(
        **SIZES, use_bidirectional_attention=True, sliding_window=8, layer_types=["sliding_attention", "full_attention"]
    )

    def after():
        denses = [
            models.Dense(n, m, bias=False, activation_function=torch.nn.Identity()) for n, m in ((48, 96), (96, 48))
        ]
        return [models.Pooling(48, "mean"), *denses, models.Normalize()]

    return Gemma3TextModel(config), after


@pytest.fixture(scope="module", params=[qwen3, gemma3])
def both(request, tmp_path_factory):
    """(the peer, ours in fp32)"""
    folder = tmp_path_factory.mktemp("generator")
    torch.manual_seed(0)
    model, after = request.param()
    randomise(model)
    model.save_pretrained(folder / "encoder")
    save_tokenizer(folder / "encoder")
    modules = [models.Transformer(str(folder / "encoder")), *after()]
    peer = SentenceTransformer(modules=modules, device="cpu", prompts=PROMPTS).eval()
    peer.save(str(folder / "saved"))
    path = convert(folder / "saved", folder / "m.embedrt", quant="fp32").path
    return peer, embedrt.load(path)


@pytest.mark.parametrize("prompt", [None, "query"])
def test_vectors_are_those_of_sentence_transformers(both, prompt):
    peer, ours = both
    expected = peer.encode(list(TEXTS), prompt_name=prompt)
    np.testing.assert_allclose(ours.encode(list(TEXTS), prompt_name=prompt), expected, rtol=0, atol=2e-5)


def test_queries_have_their_prompt(both):
    peer, ours = both
    np.testing.assert_allclose(ours.encode_query("a cat"), peer.encode_query("a cat"), rtol=0, atol=2e-5)
    assert np.abs(ours.encode_query("a cat") - ours.encode_document("a cat")).max() > 1e-2
