"""Pairs of texts, places of tokens in a text and lengths of prompts, against the tokenizers library."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import tiny_tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tokenize import TEXTS, clean, library, tokenizer_of

from embedrt import EmbedrtError, FormatError
from embedrt._tokenize import COUNTED_WHOLE, TextTokenizer
from embedrt._tokenizer_schema import rebuild
from embedrt._window import MAX_CHARACTERS

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def bert() -> tiny_tokenizers.Definition:
    """Types as BERT has them."""
    definition = tiny_tokenizers.word_piece()
    first, one, sep, two, last = definition["post_processor"]["pair"]
    second = {"Sequence": two["Sequence"] | {"type_id": 1}}
    last = {"SpecialToken": last["SpecialToken"] | {"type_id": 1}}
    definition["post_processor"]["pair"] = [first, one, sep, second, last]
    return definition


def roberta(trim: bool, space: bool) -> tiny_tokenizers.Definition:
    definition = tiny_tokenizers.byte_level_bpe()
    definition["post_processor"] |= {"trim_offsets": trim, "add_prefix_space": space}
    definition["pre_tokenizer"]["add_prefix_space"] = space
    return definition


def uneven() -> tiny_tokenizers.Definition:
    """Nothing before, several ids for one token, types of their own."""

    def special(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    one, two = ({"Sequence": {"id": name, "type_id": kind}} for name, kind in (("A", 2), ("B", 3)))
    alone = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [alone, special("many", 0)],
        "pair": [one, special("</s>", 4), two, special("many", 1), special("<s>", 0)],
        "special_tokens": {
            "many": {"id": "many", "ids": [2, 1], "tokens": ["</s>", "<pad>"]},
            "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]},
            "<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
        },
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    steps = {"type": "Sequence", "processors": [byte_level, template]}
    return tiny_tokenizers.byte_level_bpe() | {"post_processor": steps}


def cls_sep() -> tiny_tokenizers.Definition:
    ends = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
    return tiny_tokenizers.word_piece() | {"post_processor": ends}


DEFINITIONS = {
    "bert": bert(),
    "cls_sep": cls_sep(),
    "roberta": roberta(trim=True, space=False),
    "roberta_space": roberta(trim=True, space=True),
    "roberta_untrimmed": roberta(trim=False, space=True),
    "uneven": uneven(),
    "unigram": tiny_tokenizers.unigram(),
    "gemma": tiny_tokenizers.gemma(),
}
TOKENIZERS = {name: tokenizer_of(definition) for name, definition in DEFINITIONS.items()}


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@RELAXED
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), max_size=3), room=st.integers(0, 20))
def test_pairs_are_the_librarys(name: str, pairs: list[tuple[str, str]], room: int) -> None:
    tokenizer, reference = TOKENIZERS[name], library(DEFINITIONS[name])
    limit = tokenizer.pair_special + room
    assert tokenizer.pair_special == reference.num_special_tokens_to_add(True)
    reference.enable_truncation(limit)
    batch = tokenizer.encode_pairs([one for one, _ in pairs], [two for _, two in pairs], limit)
    assert len(batch.offsets) == len(pairs) + 1
    for pair, begin, end in zip(pairs, batch.offsets, batch.offsets[1:], strict=False):
        want = reference.encode(*map(clean, pair))
        assert batch.ids[begin:end].tolist() == want.ids
        assert batch.types[begin:end].tolist() == want.type_ids
    reference.no_truncation()
    assert batch.found == [len(reference.encode(*map(clean, pair)).ids) for pair in pairs]


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("room", [64, 65])
def test_long_pairs(name: str, room: int) -> None:
    """Their heads are looked at; which of two long texts is longer still decides the odd token."""
    tokenizer, reference = TOKENIZERS[name], library(DEFINITIONS[name])
    limit = tokenizer.pair_special + room
    reference.enable_truncation(limit)
    short, long, longer = "hello the world", "hello, the world. " * 80, "the " * 500
    for pair in ((short, longer), (longer, short), (long, longer), (longer, long), (long, long), ("", long)):
        batch = tokenizer.encode_pairs(pair[:1], pair[1:], limit)
        want = reference.encode(*pair)
        assert (batch.ids.tolist(), batch.types.tolist()) == (want.ids, want.type_ids)


def test_a_megabyte_is_not_tokenised() -> None:
    tokenizer = TOKENIZERS["bert"]
    texts = "hello world " * 500_000, "the password " * 500_000
    start = time.perf_counter()
    batch = tokenizer.encode_pairs([texts[0]] * 3, [texts[1]] * 3, 512)
    assert time.perf_counter() - start < 5
    assert batch.offsets.tolist() == [0, 512, 1024, 1536]
    start = time.perf_counter()
    assert tokenizer.prompt_length(texts[0], 512) == 511
    assert time.perf_counter() - start < 1


def test_no_template_of_pairs() -> None:
    base = tiny_tokenizers.word_piece()
    template = base["post_processor"]
    swapped = {**template, "pair": [template["pair"][3], template["pair"][1]]}
    for value in (None, {"type": "ByteLevel"}, {**template, "pair": template["single"]}, swapped):
        tokenizer = tokenizer_of(base | {"post_processor": value})
        assert tokenizer.pair_special == 0
        with pytest.raises(EmbedrtError, match="two texts"):
            tokenizer.encode_pairs(["a"], ["b"], 9)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (5, "pair: expected a list"),
        ([{"Sequence": {"id": "C", "type_id": 0}}], r"pair\[0\].id"),
        ([{"Sequence": {"id": "A", "type_id": 16}}], r"pair\[0\].type_id: 16 is not within"),
        ([{"SpecialToken": {"id": "x", "type_id": 0}}], "'x' is not defined"),
        ([{"Sequence": {"id": "A", "type_id": 0}, "more": 1}], "unknown key 'more'"),
        ([{"Sequence": {"id": "A", "type_id": 0}}] * 17, "17 items"),
    ],
)
def test_refused_pairs(pair: Any, words: str) -> None:
    definition = tiny_tokenizers.word_piece()
    definition["post_processor"]["pair"] = pair
    with pytest.raises(FormatError, match=words):
        tokenizer_of(definition)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_the_canonical_form_keeps_pairs_and_places(name: str) -> None:
    size = tiny_tokenizers.vocabulary(DEFINITIONS[name])
    text = rebuild(tiny_tokenizers.as_bytes(DEFINITIONS[name]), size).to_json()
    assert rebuild(text.encode(), size).to_json() == text
    original, canonical = library(DEFINITIONS[name]), library(json.loads(text))
    for pair in (("hello  the world", " a"), ("", " hello "), ("x", "")):
        one, other = (each.encode(*pair) for each in (original, canonical))
        assert (one.ids, one.type_ids, one.offsets) == (other.ids, other.type_ids, other.offsets)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@RELAXED
@given(texts=st.lists(TEXTS, max_size=3), limit=st.integers(3, 20))
def test_places_are_the_librarys(name: str, texts: list[str], limit: int) -> None:
    tokenizer, reference = TOKENIZERS[name], library(DEFINITIONS[name])
    heads = [tokenizer.head(text, limit) for text in texts]
    batch, places = tokenizer.encode_with_places(texts, heads, limit)
    same = tokenizer.encode(texts, heads, limit)
    assert (batch.ids.tolist(), batch.offsets.tolist(), batch.found) == (
        same.ids.tolist(),
        same.offsets.tolist(),
        same.found,
    )
    assert places.shape == (len(batch.ids), 2)
    for text, begin, end in zip(texts, batch.offsets, batch.offsets[1:], strict=False):
        reference.no_truncation()
        content = tokenizer.content(text)
        want = reference.encode(clean(text), add_special_tokens=False)
        assert content.ids.tolist() == want.ids
        assert content.places.tolist() == [list(place) for place in want.offsets]
        reference.enable_truncation(limit)
        assert places[begin:end].tolist() == [list(place) for place in reference.encode(clean(text)).offsets]


def test_places_count_characters() -> None:
    """Not bytes; a lone surrogate is one, a character of four bytes too."""
    content = TOKENIZERS["bert"].content("中 \ud800 \U0001f469 é hello")
    assert content.places.tolist() == [[0, 1], [4, 5], [6, 7], [8, 13]]  # U+FFFD is no content for BERT
    assert content.places.dtype == "int64" and content.ids.dtype == "int32"
    empty = TOKENIZERS["bert"].content("")
    assert empty.ids.shape == (0,) and empty.places.shape == (0, 2)


def test_the_content_of_a_long_text() -> None:
    tokenizer = TOKENIZERS["bert"]
    text = "hello world " * (COUNTED_WHOLE // 6)
    content = tokenizer.content(text)
    assert len(content.ids) == 2 * (COUNTED_WHOLE // 6)
    begin, end = content.places[-1]
    assert text[begin:end] == "world" and end == len(text) - 1
    beyond = tokenizer.content("a " * MAX_CHARACTERS)
    assert MAX_CHARACTERS - 2 <= beyond.places[-1, 1] <= MAX_CHARACTERS


def test_prompts() -> None:
    """Special tokens behind a prompt do not count for it, but for one only; those before it do."""
    lengths = {name: TOKENIZERS[name].prompt_length("hello world", 64) for name in DEFINITIONS}
    content = {name: len(TOKENIZERS[name].content("hello world").ids) for name in DEFINITIONS}
    more = {"uneven": 1, "gemma": 0}  # two behind; none before
    assert lengths == {name: size + more.get(name, 1) for name, size in content.items()}
    assert TOKENIZERS["bert"].prompt_length("", 64) == 0
    assert TOKENIZERS["bert"].prompt_length("a b c d e f", 5) == 4
    bare = TextTokenizer(
        tiny_tokenizers.as_bytes(tiny_tokenizers.word_piece() | {"post_processor": None}),
        tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece()),
    )
    assert bare.prompt_length("hello world", 64) == 2
    assert bare.prompt_length("hello [SEP]", 64) == 1
