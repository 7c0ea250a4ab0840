"""Token ids against those of the tokenizers library, whole texts, for each family and for every cut."""

from __future__ import annotations

import json
import string
import time
import tracemalloc

import pytest
import tiny_tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_charsmap import charsmap, double_array
from tokenizers import Tokenizer

from embedrt._tokenize import COUNTED_WHOLE, TextTokenizer
from embedrt._tokenizer_parts import SIGLIP_JSON_PUNCTUATION
from embedrt._tokenizer_schema import rebuild
from embedrt._window import MAX_CHARACTERS, Window, cut_rule

AWKWARD = [
    *"  \t\n\r\u00a0\u2003\u3000\u200b\0\x07_-'.,[]<>",
    *("\u0301", "\u0600", "\u200d", "é", "Σ", "σς", "ﬁ", "ﷺ", "´", "½", "中", "文", "か\u3099", "👩‍👧", "🇮🇸", "\ud800"),
    *("hello", "world", " the", "aaaa", "[SEP]", "[sep]", "<mask>", " <mask>", "</s>", "'s", "  ", "    ", "12345"),
    *("<|endoftext|>", "<|STARTOFTEXT|>", "\n\n", "▁", "▁▁", "<0x41>", "\x1c", "it's, the. "),
]
TEXTS = st.lists(st.one_of(st.sampled_from(AWKWARD), st.text(max_size=6)), max_size=40).map("".join)
RELAXED = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def library(definition: tiny_tokenizers.Definition) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenizer_of(definition: tiny_tokenizers.Definition) -> TextTokenizer:
    size = max(tiny_tokenizers.vocabulary(definition), 1 + max(token["id"] for token in definition["added_tokens"]))
    return TextTokenizer(tiny_tokenizers.as_bytes(definition), size)


def ids(tokenizer: TextTokenizer, text: str, limit: int) -> list[int]:
    return tokenizer.encode([text], [tokenizer.head(text, limit)], limit).ids.tolist()


def clean(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


# "b" is "xy", a tab a space.
CHARSMAP = charsmap(double_array({"b": 0, "\t": 3}), b"xy\0 \0")
VARIANTS: dict[str, tiny_tokenizers.Definition] = {
    **{name: make() for name, make in tiny_tokenizers.FAMILIES.items()},
    "no_cjk": tiny_tokenizers.word_piece()
    | {"normalizer": tiny_tokenizers.word_piece()["normalizer"] | {"handle_chinese_chars": False}},
    "bare_bert": tiny_tokenizers.word_piece() | {"normalizer": None},
    "metaspace_alone": tiny_tokenizers.unigram()
    | {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}},
    "stripping": tiny_tokenizers.unigram()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Strip", "strip_left": True, "strip_right": True},
                {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
                {"type": "NFKD"},
                {"type": "StripAccents"},
                {"type": "Lowercase"},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "Punctuation", "behavior": "MergedWithNext"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            ],
        },
    },
    "prefix_space": tiny_tokenizers.byte_level_bpe()
    | {
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    },
    "published_siglip": tiny_tokenizers.siglip()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Lowercase"},
                tiny_tokenizers.replace(SIGLIP_JSON_PUNCTUATION, ""),
                tiny_tokenizers.replace(r"\s+", " "),
                {"type": "Strip", "strip_left": True, "strip_right": True},
            ],
        },
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    },
    "siglip2": tiny_tokenizers.gemma()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Lowercase"}, tiny_tokenizers.gemma()["normalizer"]],
        },
        "pre_tokenizer": None,
    },
    "modernbert": tiny_tokenizers.byte_level_bpe()
    | {
        "normalizer": {"type": "NFC"},
        "added_tokens": [
            *tiny_tokenizers.added({"<s>": 0, "</s>": 2}),
            *tiny_tokenizers.added(
                {"<mask>": tiny_tokenizers.vocabulary(tiny_tokenizers.byte_level_bpe()) - 1}, lstrip=True
            ),
            *tiny_tokenizers.added(
                {
                    " " * size: tiny_tokenizers.vocabulary(tiny_tokenizers.byte_level_bpe()) + size - 2
                    for size in (2, 3, 4)
                },
                normalized=True,
                special=False,
            ),
        ],
    },
    "llama": tiny_tokenizers.gemma()
    | {
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
    },
    "old_llama": tiny_tokenizers.gemma()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}, tiny_tokenizers.gemma()["normalizer"]],
        },
        "pre_tokenizer": None,
    },
    "xlm_roberta": tiny_tokenizers.unigram()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
                {"type": "Strip", "strip_left": False, "strip_right": True},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
            ],
        },
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    },
    "albert": tiny_tokenizers.unigram()
    | {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": "``"}, "content": '"'},
                {"type": "NFKD"},
                {"type": "StripAccents"},
                {"type": "Lowercase"},
                {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
            ],
        },
    },
    "normalized_tokens": tiny_tokenizers.word_piece()
    | {"added_tokens": tiny_tokenizers.added({"hello": 103}, normalized=True, special=False, single_word=True)},
}
VARIANTS["normalized_tokens"]["added_tokens"][0]["id"] = VARIANTS["normalized_tokens"]["model"]["vocab"]["hello"]


@pytest.mark.parametrize("name", sorted(VARIANTS))
@RELAXED
@given(texts=st.lists(TEXTS, max_size=4), limit=st.integers(2, 30))
def test_ids_are_the_librarys(name: str, texts: list[str], limit: int) -> None:
    tokenizer = _cached(name)
    reference = _reference(name)
    batch = tokenizer.encode(texts, [tokenizer.head(text, limit) for text in texts], limit)
    reference.enable_truncation(limit)
    for text, begin, end in zip(texts, batch.offsets, batch.offsets[1:], strict=False):
        assert batch.ids[begin:end].tolist() == reference.encode(clean(text)).ids
    reference.no_truncation()
    assert tokenizer.count(texts).tolist() == [len(reference.encode(clean(text)).ids) for text in texts] == batch.found


@pytest.mark.parametrize("name", sorted(VARIANTS))
@RELAXED
@given(text=TEXTS, size=st.integers(1, 60))
def test_every_cut_keeps_the_first_tokens(name: str, text: str, size: int) -> None:
    window = _window(name)
    assert window.boundary is not None
    end = window.cut(text, size)
    assert 0 < end <= len(text) or text == ""
    reference = _reference(name)
    whole = reference.encode(clean(text), add_special_tokens=False).ids
    head = reference.encode(clean(text[:end]), add_special_tokens=False).ids
    assert whole[: len(head)] == head


@pytest.mark.parametrize("name", sorted(VARIANTS))
@RELAXED
@given(text=TEXTS, limit=st.integers(2, 12))
def test_widening_finds_the_same_tokens(name: str, text: str, limit: int) -> None:
    tokenizer = _cached(name)
    reference = _reference(name)
    reference.enable_truncation(limit)
    want = reference.encode(clean(text)).ids
    reference.no_truncation()
    for size in (1, 3, 10):
        head = text[: _window(name).cut(text, size)]
        assert tokenizer.encode([text], [head], limit).ids.tolist() == want


def test_cuts_are_found_where_they_should_be() -> None:
    """Cutting that never cuts would pass everything above."""
    bert, spaces = _window("word_piece"), _window("byte_level_bpe")
    assert bert.cut("hello world again", 13) == 11
    assert bert.cut("中" * 50, 13) == 13
    assert bert.cut("hello,world", 7) == 5
    assert spaces.cut("hello world again", 13) == 11
    assert spaces.cut("hello world.\nagain and", 15) == 5
    assert spaces.cut("héé élé a b", 5) == 9  # widened: no visible ASCII character before a space until there
    assert bert.cut("x[SEP]y", 4) == 7  # "[" and "]" occur in added tokens
    assert bert.cut("short", 50) == 5
    for name, want in (("clip", 6), ("gemma", 6), ("siglip", 12)):  # the last removes commas: no boundary behind one
        assert _window(name).cut("hello, world again", 7) == want


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}},
        {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}},
        {"normalizer": {"type": "Replace", "pattern": {"String": "_"}, "content": " "}},
        {"added_tokens": tiny_tokenizers.added({"two words": 69})},
    ],
)
def test_no_cut_where_none_is_proven(change: tiny_tokenizers.Definition) -> None:
    definition = tiny_tokenizers.unigram() | change
    parts = rebuild(tiny_tokenizers.as_bytes(definition), 200) if "added_tokens" not in change else None
    if parts is None:
        definition["added_tokens"][0]["id"] = tiny_tokenizers.vocabulary(definition)
        parts = rebuild(tiny_tokenizers.as_bytes(definition), 200)
    assert cut_rule(parts, str) == Window(None)


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ({"vocab": "<0x41>▁"}, {}),
        ({"ignore_merges": True}, {}),
        ({"end_of_word_suffix": "</w>"}, {}),
        ({"unk_token": "▁"}, {}),
        ({"type": "WordLevel"}, {}),
        ({}, {"pre_tokenizer": {"type": "Digits", "individual_digits": True}}),
        ({}, {"added_tokens": tiny_tokenizers.added({"<pad>": 0}, normalized=True)}),
        ({}, {"added_tokens": tiny_tokenizers.added({" ": 300})}),
        ({}, {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "_"}}),
        (
            {},
            {
                "normalizer": {
                    "type": "Sequence",
                    "normalizers": [
                        {"type": "Replace", "pattern": {"String": "o"}, "content": "▁"},
                        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
                    ],
                }
            },
        ),
    ],
)
def test_no_cut_of_a_whole_text_that_is_not_proven(
    model: tiny_tokenizers.Definition, change: tiny_tokenizers.Definition
) -> None:
    definition = tiny_tokenizers.gemma() | change
    size = tiny_tokenizers.vocabulary(definition)
    if " " in [token["content"] for token in definition["added_tokens"]]:
        definition["added_tokens"][0]["id"] = size
    if "vocab" in model:
        definition["model"]["vocab"][model["vocab"]] = size
    elif model.get("type"):
        definition["model"] = {"type": "WordLevel", "vocab": definition["model"]["vocab"], "unk_token": "<unk>"}
    else:
        definition["model"] |= model
    assert cut_rule(rebuild(tiny_tokenizers.as_bytes(definition), size + 1), str) == Window(None)


@pytest.mark.parametrize("token", ["e▁", "▁e▁", "aa▁"])
def test_no_cut_behind_what_is_joined_with_a_space(token: str) -> None:
    definition = tiny_tokenizers.gemma()
    definition["model"]["vocab"][token] = size = tiny_tokenizers.vocabulary(definition)
    window = cut_rule(rebuild(tiny_tokenizers.as_bytes(definition), size + 1), str)
    last = token.rstrip("▁")[-1]
    assert window.cut(f"xo x{last} world", 6) == 2
    definition["model"]["unk_token"] = token.strip("▁")
    assert cut_rule(rebuild(tiny_tokenizers.as_bytes(definition), size + 1), str) == Window(None)


def test_tokens_of_spaces() -> None:
    """A cut stands before a single space where several are a token, and nowhere where such a token holds more."""
    window = _window("modernbert")
    assert window.cut("hello world  again", 14) == 5
    assert window.cut("hello  world again", 7) == 12
    for content in ("a b", " ", "\t ", " a"):
        definition = tiny_tokenizers.byte_level_bpe()
        definition["added_tokens"] = tiny_tokenizers.added({content: tiny_tokenizers.vocabulary(definition)})
        parts = rebuild(tiny_tokenizers.as_bytes(definition), tiny_tokenizers.vocabulary(definition) + 1)
        assert cut_rule(parts, str) == Window(None)


@pytest.mark.parametrize("regex", [" {2,}", r"\s+"])
def test_no_cut_where_spaces_go(regex: str) -> None:
    definition = tiny_tokenizers.unigram() | {"normalizer": tiny_tokenizers.replace(regex, "")}
    assert cut_rule(rebuild(tiny_tokenizers.as_bytes(definition), 200), str) == Window(None)


@pytest.mark.parametrize("name", sorted(tiny_tokenizers.FAMILIES))
def test_huge_texts_give_the_first_tokens(name: str) -> None:
    tokenizer = _cached(name)
    reference = _reference(name)
    for text in ("hello, the world. " * 20_000, "中文" * 40_000 + " hello", " \n" * 40_000 + "hello world"):
        reference.enable_truncation(20)
        want = reference.encode(text).ids
        reference.no_truncation()
        assert ids(tokenizer, text, 20) == want


@pytest.mark.parametrize("name", sorted(tiny_tokenizers.FAMILIES))
@pytest.mark.parametrize("text", ["a" * 10_000_000, "a b " * 2_500_000, " " * 10_000_000], ids=["a", "words", "spaces"])
def test_ten_million_characters_take_bounded_time_and_memory(name: str, text: str) -> None:
    tokenizer = _cached(name)
    start = time.perf_counter()
    tracemalloc.start()
    found = ids(tokenizer, text, 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tokenizer.special <= len(found) <= 16
    # At most 2**20 characters are looked at, four times over in the worst case; generous, since machines differ.
    assert time.perf_counter() - start < 30
    assert peak < 8 * len(text)
    # The definition of a text without a provable place to cut.
    assert found == ids(tokenizer, text[:MAX_CHARACTERS], 16)


def test_counting_what_was_cut() -> None:
    tokenizer = _cached("word_piece")

    def found(text: str) -> int:
        return tokenizer.encode([text], [tokenizer.head(text, 16, counted=True)], 16).found[0]

    exact = "hello " * (COUNTED_WHOLE // 6)
    assert found(exact) == len(exact) // 6 + 2
    assert 16 < found(exact * 3) <= 3 * len(exact) // 6 + 2


def test_letters_of_the_proof() -> None:
    """A cut stands on classes of characters that the library must share."""
    reference = _reference("word_piece")
    assert reference.pre_tokenizer is not None
    for character in " \t\n\r" + string.punctuation:
        pieces = [piece for piece, _ in reference.pre_tokenizer.pre_tokenize_str(f"a{character}b")]
        assert pieces[0] == "a" and pieces[-1] == "b"


_CACHE: dict[str, TextTokenizer] = {}


def _cached(name: str) -> TextTokenizer:
    if name not in _CACHE:
        _CACHE[name] = tokenizer_of(VARIANTS[name])
    return _CACHE[name]


def _reference(name: str) -> Tokenizer:
    return library(VARIANTS[name])


def _window(name: str) -> Window:
    return _cached(name)._window
