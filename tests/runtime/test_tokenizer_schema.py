"""The tokenizer section's schema: what it accepts, what it refuses and in which words, and a stable output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import tiny_tokenizers
from tokenizers import Tokenizer

from embedrt import FormatError
from embedrt._tokenizer_parts import REPLACE_PATTERNS, SPLIT_PATTERNS
from embedrt._tokenizer_schema import rebuild

Definition = tiny_tokenizers.Definition
TEXTS = [
    "hello world",
    "a\x1c-\x85 ▁</b>\u2028~",
    "Hello,  THE café's password",
    "aaaaaa <mask> 中文 дом",
    "",
    "[MASK] x",
]


def rebuilt(definition: Definition, vocabulary: int | None = None) -> Any:
    return rebuild(tiny_tokenizers.as_bytes(definition), vocabulary or tiny_tokenizers.vocabulary(definition))


def test_the_rebuilt_tokenizer_is_the_same(definition: Definition) -> None:
    original = Tokenizer.from_str(json.dumps(definition))
    original.no_padding()
    original.no_truncation()
    parts = rebuilt(definition)
    from_json = Tokenizer.from_str(parts.to_json())
    for text in TEXTS:
        encoding = original.encode(text, add_special_tokens=False)
        assert parts.build().encode(text, add_special_tokens=False).ids == encoding.ids
        assert from_json.encode(text, add_special_tokens=True).ids == [*parts.prefix, *encoding.ids, *parts.suffix]
        assert original.encode(text).ids == [*parts.prefix, *encoding.ids, *parts.suffix]


def test_reading_the_canonical_form_changes_nothing(definition: Definition) -> None:
    text = rebuilt(definition).to_json()
    again = rebuild(text.encode(), tiny_tokenizers.vocabulary(definition))
    assert again.to_json() == text


def test_affixes_of_every_post_processor() -> None:
    base = tiny_tokenizers.byte_level_bpe()
    pair = {"cls": ["<s>", 0], "sep": ["</s>", 2]}
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    roberta = base["post_processor"]
    for value, want in (
        (None, ((), ())),
        (byte_level, ((), ())),
        (roberta, ((0,), (2,))),
        ({"type": "BertProcessing", **pair}, ((0,), (2,))),
        ({"type": "Sequence", "processors": [byte_level, roberta]}, ((0,), (2,))),
    ):
        parts = rebuilt(base | {"post_processor": value})
        assert (parts.prefix, parts.suffix) == want
        text = Tokenizer.from_str(json.dumps(base | {"post_processor": value})).encode("hello").ids
        assert Tokenizer.from_str(parts.to_json()).encode("hello").ids == text


@pytest.mark.parametrize(
    "part",
    [
        {"type": "NFC"},
        {"type": "NFD"},
        {"type": "NFKD"},
        {"type": "Lowercase"},
        {"type": "StripAccents"},
        {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": "l"}, "content": "L"},
        *(tiny_tokenizers.replace(regex, " ") for regex in REPLACE_PATTERNS),
        {"type": "Sequence", "normalizers": []},
        {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": [{"type": "NFC"}]}]},
    ],
)
def test_normalizers_in_use(part: Definition) -> None:
    definition = tiny_tokenizers.unigram() | {"normalizer": part}
    same(definition)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "Whitespace"},
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        {"type": "Metaspace", "replacement": "▁", "add_prefix_space": False, "prepend_scheme": "never"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        {"type": "Punctuation", "behavior": "Contiguous"},
        {"type": "Digits", "individual_digits": True},
        {"type": "Split", "pattern": {"String": "l"}, "behavior": "Removed", "invert": False},
        *(
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
            for regex in SPLIT_PATTERNS.values()
        ),
    ],
)
def test_pre_tokenizers_in_use(part: Definition) -> None:
    definition = tiny_tokenizers.unigram() | {"pre_tokenizer": part}
    same(definition)


def same(definition: Definition) -> None:
    parts = rebuilt(definition)
    reference = Tokenizer.from_str(json.dumps(definition))
    for text in TEXTS:
        want = reference.encode(text, add_special_tokens=False).ids
        assert parts.build().encode(text, add_special_tokens=False).ids == want


def test_word_level() -> None:
    vocab = {"hello": 0, "[UNK]": 1, "world": 3}
    definition = tiny_tokenizers.word_piece() | {
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
        "added_tokens": [],
        "post_processor": None,
    }
    assert rebuilt(definition, 4).build().encode("hello big world").ids == [0, 1, 3]


def change(*path: str | int, to: Any) -> Callable[[Definition], None]:
    def apply(definition: Definition) -> None:
        value: Any = definition
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return apply


def rename(token: str, to: str) -> Callable[[Definition], None]:
    def apply(definition: Definition) -> None:
        vocab = definition["model"]["vocab"]
        vocab[to] = vocab.pop(token)

    return apply


HUGE = 10**400
WORD_PIECE = [
    (change("surprise", to=1), "unknown key 'surprise'"),
    (change("model", "type", to="Magic"), "model.type"),
    (change("model", "vocab", to={}), "model.vocab: expected an object of 1 to"),
    (change("model", "vocab", to=[]), "model.vocab"),
    (change("model", "vocab", "hello", to=5), "two tokens have the same id"),
    (change("model", "vocab", "hello", to=-1), "-1 is not within"),
    (change("model", "vocab", "hello", to=True), "expected an integer"),
    (change("model", "vocab", "hello", to=1.0), "expected an integer"),
    (change("model", "vocab", "hello", to=HUGE), "is not within"),
    (change("model", "vocab", "hello", to=[]), "expected an integer"),
    (rename("hello", ""), "empty or longer"),
    (rename("hello", "x" * 600), "empty or longer"),
    (rename("hello", "\ud800"), "surrogate"),
    (change("model", "unk_token", to="[nothing]"), "unk_token.*not in the vocabulary"),
    (change("model", "unk_token", to=None), "unk_token"),
    (change("model", "max_input_chars_per_word", to=10**9), "max_input_chars_per_word"),
    (change("model", "max_input_chars_per_word", to=0), "max_input_chars_per_word"),
    (change("model", "continuing_subword_prefix", to="#" * 99), "continuing_subword_prefix"),
    (change("model", "extra", to=None), "unknown key 'extra'"),
    (change("added_tokens", to={}), "expected a list"),
    (change("added_tokens", 0, "id", to=7), r"added_tokens\[0\]: '\[PAD\]' has the id 7, expected 0"),
    (change("added_tokens", 0, "content", to="[new]"), "expected 1"),
    (change("added_tokens", 0, "content", to=""), "content"),
    (change("added_tokens", 0, "content", to="[SEP]"), "has the id 0, expected 3"),
    (change("added_tokens", 0, "lstrip", to=1), "lstrip: expected true or false"),
    (change("added_tokens", to=[{}]), r"added_tokens\[0\]: 'id' is missing"),
    (change("normalizer", to=[]), "normalizer: expected an object"),
    (change("normalizer", "type", to="Nmt"), "the normalizer 'Nmt' is not supported"),
    (change("normalizer", "strip_accents", to=1), "strip_accents"),
    (change("normalizer", "lowercase", to=None), "lowercase"),
    (change("normalizer", to={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}), "known ones"),
    (change("normalizer", to=tiny_tokenizers.replace("[!-/]", "")), "known ones"),
    (
        change("normalizer", to={"type": "Sequence", "normalizers": [tiny_tokenizers.replace(r"\s+", "x" * 33)] * 2}),
        "len",
    ),
    (change("normalizer", to={"type": "Replace", "pattern": {"String": ""}, "content": "x"}), "String"),
    (change("normalizer", to={"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 65}), "content"),
    (
        change(
            "normalizer",
            to={
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 60}] * 3,
            },
        ),
        "lengthens a text",
    ),
    (change("normalizer", to={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 17}), "17 items|more than 16"),
    (change("pre_tokenizer", "type", to="UnicodeScripts"), "the pre-tokenizer 'UnicodeScripts' is not supported"),
    (
        change(
            "pre_tokenizer", to={"type": "Split", "pattern": {"Regex": ".*"}, "behavior": "Isolated", "invert": False}
        ),
        "known ones",
    ),
    (change("post_processor", "type", to="Other"), "the post-processor 'Other' is not supported"),
    (change("post_processor", "single", to=[]), "expected the text exactly once, found it 0 times"),
    (change("post_processor", "single", 0, "SpecialToken", "id", to="[no]"), "is not defined"),
    (change("post_processor", "single", 0, "SpecialToken", "type_id", to=1), "single"),
    (change("post_processor", "special_tokens", "[CLS]", "ids", to=[10**6]), "special_tokens"),
    (change("post_processor", "special_tokens", "[CLS]", "ids", to=[2] * 17), "17 items"),
]


@pytest.mark.parametrize(("damage", "words"), WORD_PIECE)
def test_refusals(damage: Callable[[Definition], None], words: str) -> None:
    definition = tiny_tokenizers.word_piece()
    damage(definition)
    with pytest.raises(FormatError, match=words):
        rebuild(json.dumps(definition).encode(), tiny_tokenizers.vocabulary(tiny_tokenizers.word_piece()))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change("model", "unk_id", to=None), "unk_id"),
        (change("model", "unk_id", to=10**6), "unk_id"),
        (change("model", "vocab", to=[]), "empty"),
        (change("model", "vocab", 0, to=["<s>"]), "expected a list of"),
        (change("model", "vocab", 0, to={"<s>": 0}), "expected a list of"),
        (change("model", "vocab", 5, to=["<s>", 0]), "a piece occurs twice"),
        (change("model", "vocab", 5, to=[5, 0]), "a piece is not a string"),
        (change("model", "vocab", 5, to=["", 0]), "empty or longer"),
        (change("model", "vocab", 5, to=["new", "0"]), r"vocab\[5\]: expected a number"),
        (change("model", "vocab", 5, to=["new", True]), r"vocab\[5\]: expected a number"),
        (change("model", "vocab", 5, to=["new", 1e300]), r"vocab\[5\]"),
        (change("model", "vocab", 5, to=["new", HUGE]), r"vocab\[5\]"),
        (change("model", "byte_fallback", to=None), "byte_fallback"),
    ],
)
def test_refusals_of_unigram(damage: Callable[[Definition], None], words: str) -> None:
    definition = tiny_tokenizers.unigram()
    damage(definition)
    with pytest.raises(FormatError, match=words):
        rebuild(json.dumps(definition).encode(), tiny_tokenizers.vocabulary(tiny_tokenizers.unigram()))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change("model", "dropout", to=0.1), "dropout"),
        (change("model", "continuing_subword_prefix", to="##"), "continuing_subword_prefix"),
        (change("model", "end_of_word_suffix", to=5), "end_of_word_suffix"),
        (change("model", "merges", to=["a"]), r"merges\[0\]: expected two tokens"),
        (change("model", "merges", to=[["a", "b", "c"]]), r"merges\[0\]: expected two tokens"),
        (change("model", "merges", to=[["a", "b"]]), r"merges\[0\]: its two tokens or their union"),
        (change("model", "merges", to=["é é"]), r"merges\[0\]: its two tokens or their union"),
        (change("model", "unk_token", to="[nothing]"), "unk_token"),
        (change("model", "fuse_unk", to=0), "fuse_unk"),
    ],
)
def test_refusals_of_bpe(damage: Callable[[Definition], None], words: str) -> None:
    definition = tiny_tokenizers.byte_level_bpe()
    damage(definition)
    with pytest.raises(FormatError, match=words):
        rebuild(json.dumps(definition).encode(), tiny_tokenizers.vocabulary(tiny_tokenizers.byte_level_bpe()))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (b"", "Expecting value"),
        (b"[]", "not an object"),
        (b"{", "Expecting"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b'{"model": 1, "model": 2}', "'model' occurs twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"1" * 100_000 + b"}", "integer|unknown|missing"),
        (b"{}", "'model' is missing"),
    ],
)
def test_refusals_of_json(section: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=f"^tokenizer section.*({words})"):
        rebuild(section, 100)


def test_merges_may_be_more_than_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those from sentencepiece are: every way to make a token."""
    definition = tiny_tokenizers.gemma()
    definition["model"]["merges"] *= 50
    merges = len(definition["model"]["merges"])
    assert merges > 2 * tiny_tokenizers.vocabulary(definition)
    same(definition)
    monkeypatch.setattr("embedrt._tokenizer_models.MAX_MERGES", merges - 1)
    with pytest.raises(FormatError, match=f"merges: {merges} items"):
        rebuilt(definition)


def test_ids_stay_below_the_programs_vocabulary(definition: Definition) -> None:
    rebuilt(definition)
    with pytest.raises(FormatError):
        rebuilt(definition, tiny_tokenizers.vocabulary(definition) - 1)


def test_a_section_that_is_too_long(monkeypatch: pytest.MonkeyPatch, definition: Definition) -> None:
    monkeypatch.setattr("embedrt._tokenizer_schema.MAX_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100"):
        rebuilt(definition)


def test_tokens_beyond_the_model_get_the_next_ids() -> None:
    definition = tiny_tokenizers.word_piece()
    size = tiny_tokenizers.vocabulary(definition)
    definition["added_tokens"] += tiny_tokenizers.added({"<new>": size, "<newer>": size + 1})
    tokenizer = rebuilt(definition, size + 2).build()
    assert tokenizer.encode("hello <newer>", add_special_tokens=False).ids[-1] == size + 1
    with pytest.raises(FormatError):
        rebuilt(definition, size + 1)
