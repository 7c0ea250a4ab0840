"""Texts that tokenizers disagree on, if on any: every Unicode block, scripts, marks, controls, and very long ones."""

from __future__ import annotations

import unicodedata

from embedrt_convert.golden import TEXTS

_BLOCK = 256


def _block(first: int) -> str:
    """The characters from `first` on that this Python's Unicode knows; later ones have no agreed lower case."""
    characters = map(chr, range(first, first + _BLOCK))
    return "".join(character for character in characters if unicodedata.category(character) not in ("Cn", "Cs"))


BLOCKS = [block for block in map(_block, range(0, 0x110000, _BLOCK)) if block]

HOSTILE = [
    *TEXTS,
    *("", " ", "  ", "\t\n", "!", "?!", "- item", "! hello", "!hello", " hello", "a - b", "a  b", "don't I'LL it's"),
    *("\0", "\x01hello", "tab\x1cx\x1f", "a\x85b\u2028c\u2029d", "x\r\ny", "a \u200b b", "\ufeffx", "\u3000x\u3000"),
    *("e\u0301 é", "x\u0301y\u0301\u0302", "a \u0301", "´", "a ´ b", "½ ﬁn ﷺ ㎏", "İstanbul ẞ ŉ", "か\u3099 が"),
    *(
        "👩‍👧🇮🇸",
        "❤\ufe0f",
        "👍🏽",
        "\U000e0067",
        "שלום \u202bעולם\u202c",
        "مرحبا\u200fبالعالم",
        "नमस्ते",
        "ไทย",
        "한국어 조선",
    ),
    *(
        "▁",
        "▁▁ a",
        "a▁b ▁ c",
        "</s",
        "<0x41>",
        "<|",
        "## #",
        "#1 ##2",
        "a/b <c> {d}",
        "$1,299.00 (19%)",
        "http://x.y/?z=1",
    ),
    *(
        "a" * 100_000,
        "ab " * 40_000,
        "é" * 100_000,
        "中" * 100_000,
        " " * 100_000,
        "!" * 100_000,
        "x" + "\u0301" * 1000,
    ),
    *BLOCKS,
    *(" ".join(block) for block in BLOCKS[:40]),
]
