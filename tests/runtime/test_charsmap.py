"""Precompiled character maps: a well-formed one works, every link or value that leads out of bounds is refused."""

from __future__ import annotations

import base64
import json
import random
import struct

import pytest
import tiny_tokenizers
from tokenizers import Tokenizer

from embedrt import FormatError
from embedrt._charsmap import MAX_REPLACEMENT, check_charsmap
from embedrt._tokenize import TextTokenizer
from embedrt._tokenizer_schema import rebuild

HAS_LEAF, IS_VALUE = 1 << 8, 1 << 31


def double_array(entries: dict[str, int]) -> list[int]:
    """A double array that maps one-byte strings to values; block 0 holds the root's children, 1 to n the values."""
    units = [0] * 256 * (len(entries) + 2)
    root_offset = 256
    units[0] = root_offset << 10
    for number, (key, value) in enumerate(entries.items(), 2):
        place = root_offset ^ ord(key)
        leaf = number * 256
        units[place] = ord(key) | HAS_LEAF | (place ^ leaf) << 10
        units[leaf] = value | IS_VALUE
    return units


def charsmap(units: list[int], blob: bytes) -> str:
    return base64.b64encode(struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + blob).decode()


BLOB = "xy\0é\0".encode()
UNITS = double_array({"a": 0, "b": 3})


def definition(text: str) -> tiny_tokenizers.Definition:
    return tiny_tokenizers.unigram() | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": text}}


def test_a_map_that_works() -> None:
    text = charsmap(UNITS, BLOB)
    assert check_charsmap(text, "map") == 2
    section = tiny_tokenizers.as_bytes(definition(text))
    parts = rebuild(section, 200)
    normalizer = parts.build().normalizer
    assert normalizer is not None and normalizer.normalize_str("abc") == "xyéc"
    assert json.loads(parts.to_json())["normalizer"] == definition(text)["normalizer"]
    reference = Tokenizer.from_str(section.decode())
    tokenizer = TextTokenizer(section, 200)
    text = "hello a the b. world " * 2000
    reference.enable_truncation(16)
    assert tokenizer.encode([text], [tokenizer.head(text, 16)], 16).ids.tolist() == reference.encode(text).ids


def changed(place: int, unit: int) -> list[int]:
    units = list(UNITS)
    units[place] = unit
    return units


A = 256 ^ ord("a")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "trie"),
        ("!!!!", "base64"),
        ("AAAA", "trie"),
        (base64.b64encode(struct.pack("<I", 2**32 - 4)).decode(), "trie"),
        (base64.b64encode(struct.pack("<II", 3, 0)).decode(), "trie"),
        (base64.b64encode(struct.pack("<I", 0)).decode(), "trie"),
        (charsmap([0], b""), "leaves the array"),
        (charsmap(changed(0, 2**20 << 10), BLOB), "leaves the array"),
        (charsmap(changed(0, 2**20 << 10 | IS_VALUE), BLOB), "leaves the array"),
        (charsmap(changed(A, ord("a") | HAS_LEAF | (4096 << 10)), BLOB), "leaves the array"),
        (charsmap(double_array({"a": 1000}), BLOB), "outside the 6 bytes"),
        (charsmap(double_array({"a": 4}), BLOB), "inside a character"),
        (charsmap(UNITS, b"\xff"), "not UTF-8"),
        (charsmap(double_array({"a": 0}), b"x" * (MAX_REPLACEMENT + 1)), "at most 128"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(FormatError, match=f"^map.*{words}"):
        check_charsmap(text, "map")


def test_damaged_maps_never_panic() -> None:
    rng = random.Random(1)
    data = base64.b64decode(charsmap(UNITS, BLOB))
    used = [
        4,
        5,
        6,
        7,
        *range(4 + 4 * A, 12 + 4 * A),
        *range(4 + 4 * 512, 8 + 4 * 512),
        *range(len(data) - 8, len(data)),
    ]
    accepted = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.choice(used)] ^= 1 << rng.randrange(8)
        try:
            tokenizer = TextTokenizer(tiny_tokenizers.as_bytes(definition(base64.b64encode(damaged).decode())), 200)
        except FormatError:
            continue
        accepted += 1
        for text in ("abc", "".join(map(chr, range(256))), "aaaaab b"):
            tokenizer.encode([text], [text], 16)
    assert 0 < accepted < 1500
