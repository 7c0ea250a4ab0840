"""Tokenizers of text encoders: ids, types and places of transformers' classes on hostile texts, from all files."""

from __future__ import annotations

import json
import random
import re

import pytest
from hostile_texts import BLOCKS, HOSTILE
from tiny_text_tokenizers import FAST, SLOW
from transformers import AutoTokenizer

from embedrt._tokenize import TextTokenizer
from embedrt_convert.errors import ConversionError
from embedrt_convert.golden import TEXTS
from embedrt_convert.inputs.tokenizer import read_tokenizer
from embedrt_convert.sources import Folder

LIMIT = 64
SPACES = [
    "hello ",
    " hello",
    "  hello  world ",
    "a\n\nb",
    "a ▁▁ b \n\n c <table>",
    "a\u3000b\u00a0c",
    "lone \ud800 x",
    "`` x ''",
]


def ours(folder):
    files = Folder(folder)
    reference = AutoTokenizer.from_pretrained(folder)
    size = 1 + max(reference.get_vocab().values())
    definition = read_tokenizer(files, "", files.json("tokenizer_config.json"), size, False)
    return TextTokenizer(definition.encode(), size), reference


def spelled(reference):
    """Texts with special tokens in them, as they are and in capitals."""
    tokens = reference.all_special_tokens[:8]
    return [*(f"a {token} b" for token in tokens), *(f"a{token.upper()}b  {token}" for token in tokens)]


def clean(text):
    """The library of the reference refuses lone surrogates; ours takes them for U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def differing(tokenizer, reference, texts):
    found = []
    for text in texts:
        want = reference(clean(text), truncation=True, max_length=LIMIT)["input_ids"]
        if tokenizer.encode([text], [tokenizer.head(text, LIMIT)], LIMIT).ids.tolist() != want:
            found.append(text)
    return found


@pytest.fixture(scope="module", params=[*SLOW, *FAST])
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp(request.param)
    (SLOW | FAST)[request.param](made)
    return made


def test_from_the_files_of_a_class_and_from_tokenizer_json(folder, tmp_path):
    """All hostile texts from the files as made; some from the tokenizer.json that transformers makes of them."""
    tokenizer, reference = ours(folder)
    assert tokenizer._window.boundary
    assert not differing(tokenizer, reference, [*HOSTILE, *SPACES, *spelled(reference)])
    reference.save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    tokenizer, reference = ours(tmp_path)
    assert not differing(tokenizer, reference, [*TEXTS, *SPACES, *spelled(reference), *BLOCKS[:24]])


def test_pairs_and_their_types(folder):
    tokenizer, reference = ours(folder)
    rng = random.Random(0)
    words = [word for text in TEXTS for word in text.split()]
    # Short, since the reference makes all pairs of what it cuts off.
    first = [" ".join(rng.choices(words, k=rng.randrange(1, 9))) for _ in range(12)]
    second = [" ".join(rng.choices([*words, BLOCKS[3][:9]], k=rng.randrange(1, 60))) for _ in range(12)]
    for one, two in ((first, second), (second, first), (second, second[::-1]), (["", "a"], ["b", ""])):
        for limit in (16, 33, 128):
            want = reference(one, two, truncation=True, max_length=limit)
            batch = tokenizer.encode_pairs(one, two, limit)
            assert batch.ids.tolist() == [index for ids in want["input_ids"] for index in ids]
            if "token_type_ids" in want:
                assert batch.types.tolist() == [kind for kinds in want["token_type_ids"] for kind in kinds]
            else:
                assert not batch.types.any()


def test_places(folder):
    tokenizer, reference = ours(folder)
    for text in [*TEXTS, *SPACES, *spelled(reference), *HOSTILE[:40], *BLOCKS[:24], "x" + "\u0301" * 100]:
        want = reference(clean(text), add_special_tokens=False, return_offsets_mapping=True)
        content = tokenizer.content(text)
        assert content.ids.tolist() == want["input_ids"]
        assert content.places.tolist() == [list(place) for place in want["offset_mapping"]]


def test_other_classes_of_sentencepiece_models_are_refused(tmp_path):
    SLOW["t5"](tmp_path)
    with pytest.raises(ConversionError, match="class 'XGLMTokenizer', of which no sentencepiece model"):
        read_tokenizer(Folder(tmp_path), "", {"tokenizer_class": "XGLMTokenizer"}, 10**5, False)
    with pytest.raises(ConversionError, match="reads BPE"):
        read_tokenizer(Folder(tmp_path), "", {"tokenizer_class": "GemmaTokenizer"}, 10**5, False)
    with pytest.raises(ConversionError, match="unknown piece is not the one of id 1"):
        read_tokenizer(Folder(tmp_path), "", {"tokenizer_class": "AlbertTokenizer"}, 10**5, False)


@pytest.mark.parametrize(
    ("settings", "words"), [({"truncation_side": "left"}, "truncation_side"), ({"split_special_tokens": True}, "split")]
)
def test_settings_that_change_tokens_are_refused(tmp_path, settings, words):
    SLOW["bert_uncased"](tmp_path)
    with pytest.raises(ConversionError, match=words):
        read_tokenizer(Folder(tmp_path), "", settings, 10**5, False)


def test_ids_that_the_settings_state_otherwise_are_refused(tmp_path):
    SLOW["roberta"](tmp_path)
    listed = {"7": {"content": "<mask>", "special": True}}
    with pytest.raises(ConversionError, match="'<mask>' the id 7, the vocabulary 4"):
        settings = {"tokenizer_class": "RobertaTokenizer", "added_tokens_decoder": listed}
        read_tokenizer(Folder(tmp_path), "", settings, 10**5, False)


def test_files_of_before_tokenizer_config_listed_added_tokens(tmp_path):
    """The class by the model's type, special tokens by special_tokens_map.json, others by added_tokens.json."""
    SLOW["bert_uncased"](tmp_path)
    size = len((tmp_path / "vocab.txt").read_text().splitlines())
    files = {
        "config.json": {"model_type": "bert"},
        "tokenizer_config.json": {"do_lower_case": True},
        "special_tokens_map.json": {"mask_token": {"content": "[MASK]", "lstrip": True}, "sep_token": "[SEP]"},
        "added_tokens.json": {"Zürich": size, "[E1]": size + 1},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    tokenizer, reference = ours(tmp_path)
    texts = ["a [MASK] b [E1]c [e1]", "zürichs ZÜRICH Zürich zurich", *TEXTS]
    assert not differing(tokenizer, reference, texts)
    assert size in reference(texts[1])["input_ids"]
