"""Random definitions: wherever a place to cut is given, the tokens of the head are the first of the text's."""

from __future__ import annotations

import random
from typing import Any

import pytest
import tiny_tokenizers
from tiny_tokenizers import Definition

from embedrt import FormatError
from embedrt._tokenizer_parts import REPLACE_PATTERNS, SPLIT_PATTERNS
from embedrt._tokenizer_schema import rebuild
from embedrt._window import cut_rule

ROUNDS = 800
PARTS = [
    *(
        "a",
        "hello",
        "the",
        "ll",
        "o",
        "H",
        "x",
        "é",
        "中",
        "\u0301",
        "\t",
        "\n",
        "\x1c",
        " ",
        " ",
        "  ",
        "o ",
        "a ",
        ". ",
    ),
    *(",", "!", "▁", " ▁", "<unk>", "</s>", "<|endoftext|>", "\n\n"),
]
SPACES_TO_MARKS: Definition = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}


def normalizers(rng: random.Random) -> Definition:
    def one() -> Definition:
        return rng.choice(
            [
                {"type": rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"])},
                {"type": "Strip", "strip_left": flag(rng), "strip_right": flag(rng)},
                {"type": "Prepend", "prepend": rng.choice("▁ a\u0301")},
                tiny_tokenizers.replace(rng.choice(list(REPLACE_PATTERNS)), rng.choice([" ", " ", "", "▁", "x"])),
                {
                    "type": "Replace",
                    "pattern": {"String": rng.choice(["a", "o", "▁", " ", ",", "é", "  "])},
                    "content": rng.choice(["▁", " ", "", "x", ",", "é"]),
                },
            ]
        )

    parts = [one() for _ in range(rng.randrange(5))]
    ends = [[], [SPACES_TO_MARKS], [tiny_tokenizers.replace(" {2,}", "▁")]]
    return {"type": "Sequence", "normalizers": parts + rng.choice(ends)}


def pre_tokenizers(rng: random.Random) -> Definition:
    def one() -> Definition:
        behavior = rng.choice(["Isolated", "Removed", "MergedWithNext", "MergedWithPrevious"])
        split = {"type": "Split", "behavior": behavior, "invert": flag(rng)}
        return rng.choice(
            [
                {"type": rng.choice(["WhitespaceSplit", "Whitespace", "BertPreTokenizer"])},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": rng.random() < 0.6},
                {"type": "ByteLevel", "add_prefix_space": flag(rng), "use_regex": rng.random() < 0.8},
                {"type": "Punctuation", "behavior": behavior},
                split | {"pattern": {"Regex": rng.choice(list(SPLIT_PATTERNS.values()))}},
                split | {"pattern": {"String": rng.choice(" ▁a")}},
            ]
        )

    return {"type": "Sequence", "pretokenizers": [one() for _ in range(rng.randrange(3))]}


def vary(model: dict[str, Any], rng: random.Random) -> None:
    """Merges over a mark, and other flags."""
    vocab = model["vocab"]
    for pair in (("▁", "▁"), ("o", "▁"), ("▁", "h"), ("l", "▁▁"), ("<0x41>", "▁"), ("<unk>", "▁")):
        if rng.random() < 0.1 and all(token in vocab for token in pair) and "".join(pair) not in vocab:
            vocab["".join(pair)] = len(vocab)
            model["merges"].append(list(pair))
    for name in ("fuse_unk", "byte_fallback", "ignore_merges"):
        model[name] ^= rng.random() < 0.2


def flag(rng: random.Random) -> bool:
    return rng.random() < 0.5


def test_punctuation_that_goes_is_no_end_of_a_word() -> None:
    """What is cut behind it ends with the space before it, which the whole text has once."""
    definition = tiny_tokenizers.siglip()
    parts = definition["normalizer"]["normalizers"]
    definition["normalizer"]["normalizers"] = [part for part in parts if part["type"] != "Strip"]
    rebuilt = rebuild(tiny_tokenizers.as_bytes(definition), 1000)
    tokenizer = rebuilt.build()
    text = "a , the"
    whole, head = (tokenizer.encode(each, add_special_tokens=False).ids for each in (text, text[:3]))
    assert whole[: len(head)] != head
    assert cut_rule(rebuilt, str).cut(text, 4) == 1


@pytest.mark.parametrize("name", sorted(tiny_tokenizers.FAMILIES))
def test_random_definitions(name: str) -> None:
    rng = random.Random(name)
    cuts = 0
    for _ in range(ROUNDS):
        definition = tiny_tokenizers.FAMILIES[name]()
        if rng.random() < 0.9:
            definition["normalizer"] = normalizers(rng)
        if rng.random() < 0.8:
            definition["pre_tokenizer"] = pre_tokenizers(rng)
        if definition["model"]["type"] == "BPE":
            vary(definition["model"], rng)
        size = max([tiny_tokenizers.vocabulary(definition), *(token["id"] + 1 for token in definition["added_tokens"])])
        if rng.random() < 0.2:
            runs = {" " * rng.choice((2, 2, 3)): size}
            definition["added_tokens"] += tiny_tokenizers.added(runs, normalized=flag(rng), lstrip=flag(rng))
        try:
            parts = rebuild(tiny_tokenizers.as_bytes(definition), 1000)
        except FormatError:  # they lengthen a text too much
            continue
        tokenizer = parts.build()
        window = cut_rule(parts, str)
        if window.boundary is None:
            continue
        for _ in range(5):
            text = "".join(rng.choices(PARTS, k=rng.randrange(2, 14)))
            end = window.cut(text, rng.randrange(1, 12))
            head = tokenizer.encode(text[:end], add_special_tokens=False).ids
            whole = tokenizer.encode(text, add_special_tokens=False).ids
            assert whole[: len(head)] == head, (text, end, definition["normalizer"], definition["pre_tokenizer"])
            cuts += end < len(text)
    assert cuts > ROUNDS // 50
