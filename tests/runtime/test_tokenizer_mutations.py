"""Thousands of damaged tokenizer sections: each is refused with FormatError or makes a tokenizer that works."""

from __future__ import annotations

import copy
import json
import random
import string
from typing import Any

import pytest
import tiny_tokenizers

from embedrt import EmbedrtError, FormatError
from embedrt._tokenize import TextTokenizer

ROUNDS = 1500
TEXTS = ["", "hello world [SEP] aaaa", "caf\u0301é 中文 ﷺ  \0 \U0001f469\u200d", "'s <mask>  </s> 12", "a" * 300]
STRANGE: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**64, 10**30, 1.5, -1e308, "", "a", "\0", "▁", "é", "##", "[UNK]", [], {}),
    *("(a+)+$", "x" * 1000, ["a", "b"], [["a", 0.0]], {"type": "NFC"}, {"Regex": ".*"}, {"String": " "}),
    *(
        {"type": kind}
        for kind in ("Lowercase", "ByteLevel", "BertPreTokenizer", "Whitespace", "Sequence", "Precompiled")
    ),
    {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Strip", "strip_left": True, "strip_right": True}]},
    {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": True},
    {"type": "Punctuation"},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value, with only some of a long vocabulary's."""
    found = [path]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(children)[:40]:
        found += places(child, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def mutate(definition: Any, rng: random.Random) -> Any:
    damaged = copy.deepcopy(definition)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        path = rng.choice(places(damaged)[1:] or [()])
        if not path:
            return damaged
        parent, key = at(damaged, path[:-1]), path[-1]
        kind = rng.randrange(5)
        if kind == 0:
            del parent[key]
        elif kind == 1:
            parent[key] = copy.deepcopy(rng.choice(STRANGE))
        elif kind == 2:  # something from elsewhere in the definition
            parent[key] = copy.deepcopy(at(damaged, rng.choice(places(damaged)[1:])))
        elif kind == 3 and isinstance(parent, dict):
            parent[rng.choice(string.ascii_letters)] = copy.deepcopy(rng.choice(STRANGE))
        elif isinstance(parent[key], bool):
            parent[key] = not parent[key]
        elif isinstance(parent[key], int):
            parent[key] += rng.choice((-1, 1, 100, 10**6))
        elif isinstance(parent[key], str):
            parent[key] += rng.choice(("x", "\ud800", "\0", " "))
        elif isinstance(parent[key], list):
            parent[key] *= rng.choice((0, 2, 3))
    return damaged


def damage_bytes(section: bytes, rng: random.Random) -> bytes:
    data = bytearray(section)
    for _ in range(rng.choice((1, 2, 8))):
        place = rng.randrange(len(data))
        data[place : place + rng.choice((0, 1, 4))] = rng.choice(
            (b"", b"0", b'"', b"{", b"[", b"\xff", b"\\u0000", b"9")
        )
    return bytes(data)


def check(section: bytes, vocabulary: int) -> bool:
    """Whether the section was accepted; anything but FormatError, or a tokenizer that misbehaves, fails."""
    try:
        tokenizer = TextTokenizer(section, vocabulary)
    except FormatError as error:
        assert str(error).startswith("tokenizer section")
        return False
    for text in TEXTS:
        try:
            batch = tokenizer.encode([text], [tokenizer.head(text, 40)], 40)
        except EmbedrtError as error:
            pytest.fail(f"accepted, then {error}: {section.decode()}")
        assert all(0 <= index < vocabulary for index in batch.ids.tolist())
    return True


@pytest.mark.parametrize("seed", range(2))
def test_mutated_definitions(definition: tiny_tokenizers.Definition, seed: int) -> None:
    rng = random.Random(f"{seed} {definition['model']['type']}")
    vocabulary = tiny_tokenizers.vocabulary(definition)
    accepted = sum(check(json.dumps(mutate(definition, rng)).encode(), vocabulary) for _ in range(ROUNDS))
    assert ROUNDS // 50 < accepted < ROUNDS  # neither all refused, which would test little, nor all accepted


def test_damaged_bytes(definition: tiny_tokenizers.Definition) -> None:
    rng = random.Random(0)
    section = tiny_tokenizers.as_bytes(definition)
    vocabulary = tiny_tokenizers.vocabulary(definition)
    accepted = sum(check(damage_bytes(section, rng), vocabulary) for _ in range(ROUNDS))
    assert 0 < accepted < ROUNDS
