"""Prompts that are not pooled, beside sentence-transformers."""

import string

import numpy as np
import pytest
import tokenizers
from random_models import save_bert, vocabulary
from sentence_transformers import SentenceTransformer, models
from tokenizers import decoders, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import embedrt
from embedrt_convert import convert

pytestmark = pytest.mark.filterwarnings("ignore::embedrt.TruncationWarning")
HIDDEN = 36
LIMIT = 24
TEXTS = ["", "a", "Hello, WORLD. How do cats run?", "hello the world", "naïve café — ÀÉÎ 中文", "the world " * 30]
PROMPTS = {
    "none": "",
    "query": "query: ",
    "closed": "the world:",
    "sentence": "Represent the hello for retrieval: ",
    "space": " ",
    "long": "the " * 40,
}
POOLINGS = ["cls", "max", "mean_sqrt_len_tokens", "lasttoken"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def word_piece():
    model = tokenizers.models.WordPiece(
        {token: index for index, token in enumerate(vocabulary(101))}, unk_token="[UNK]"
    )
    made = tokenizers.Tokenizer(model)
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made, ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


def unigram():
    letters = [(letter, -6.0 - index / 7) for index, letter in enumerate(string.printable.strip())]
    words = [(f"▁{word}", -7.0 - index / 3) for index, word in enumerate(["the", "hello", "query", "world", "re", "t"])]
    pieces = [*((token, 0.0) for token in SPECIAL), ("▁", -3.0), *letters, *words]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made, SPECIAL


def byte_level():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), (":", "Ġ"), ("l", "l"), ("Ġ", "w")]
    pieces = [*SPECIAL, *letters, *map("".join, merges)]
    model = tokenizers.models.BPE({piece: index for index, piece in enumerate(pieces)}, merges)
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made, SPECIAL


@pytest.fixture(scope="module", params=["both ends", "no ends", "a beginning only"])
def ends(request):
    return {"both ends": "{1} $A {2}", "no ends": "$A", "a beginning only": "{1} $A"}[request.param]


@pytest.fixture(scope="module", params=[word_piece, unigram, byte_level])
def encoder(request, ends, tmp_path_factory):
    """A folder of a random BERT with a tokenizer of that kind, which puts special tokens around a text like that."""
    folder = tmp_path_factory.mktemp("bert")
    made, special = request.param()
    size = made.get_vocab_size()
    settings = {"hidden_size": HIDDEN, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 50}
    save_bert(folder, vocab_size=size, **settings)
    (folder / "vocab.txt").unlink()
    made.add_special_tokens(list(special))
    made.post_processor = processors.TemplateProcessing(
        single=ends.format(*special), special_tokens=[(token, made.token_to_id(token)) for token in special]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=LIMIT,
        **dict(zip(("pad_token", "cls_token", "sep_token", "unk_token"), special, strict=True)),
    ).save_pretrained(folder)
    return folder


def compare(encoder, tmp_path, mode):
    """With each prompt; texts of which the peer pools no row are refused."""
    pooling = models.Pooling(HIDDEN, mode, include_prompt=False)
    peer = SentenceTransformer(modules=[models.Transformer(str(encoder)), pooling], device="cpu", prompts=PROMPTS)
    peer.max_seq_length = LIMIT
    peer.save(str(tmp_path / "saved"))
    model = embedrt.load(convert(tmp_path / "saved", tmp_path / "m.embedrt", quant="fp32").path)
    assert model.info.text.include_prompt is False and model.max_tokens == LIMIT
    refused = 0
    for name, prompt in PROMPTS.items():
        if prompt and not peer.tokenizer(prompt)["input_ids"]:
            continue  # the peer fails on a prompt without tokens
        ids = [peer.preprocess([text], prompt=prompt)["input_ids"][0].tolist() for text in TEXTS]
        assert [tokens.ids.tolist() for tokens in model.encode_tokens(TEXTS, prompt_name=name)] == ids
        skipped = peer.preprocess(["a"], prompt=prompt).get("prompt_length", 0)
        usable = [text for text, tokens in zip(TEXTS, ids, strict=True) if len(tokens) > skipped]
        for text in set(TEXTS).difference(usable):
            refused += bool(prompt)
            if prompt:
                with pytest.raises(embedrt.InputError, match="no token but the prompt's"):
                    model.encode(text, prompt_name=name)
        if usable:
            expected = peer.encode(usable, prompt_name=name)
            np.testing.assert_allclose(model.encode(usable, prompt_name=name), expected, rtol=0, atol=2e-5)
    return refused


def test_each_tokenizer(encoder, ends, tmp_path):
    assert bool(compare(encoder, tmp_path, "mean")) == ("{2}" not in ends)


@pytest.mark.parametrize("ends", ["both ends"], indirect=True)
@pytest.mark.parametrize("encoder", [unigram], indirect=True)
@pytest.mark.parametrize("mode", POOLINGS)
def test_each_pooling(encoder, tmp_path, mode):
    assert compare(encoder, tmp_path, mode) == 0
