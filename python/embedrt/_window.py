"""Where a huge text may be cut before tokenising, so that the tokens kept are those of the whole text.

Only the first tokens of a text are used, up to the model's limit. Tokenising ten million characters to keep 256
tokens takes seconds and a gigabyte, so `Window` finds a place B such that the tokens of text[:B] are the first
tokens of the text.

**Word boundaries**: text[B] is a space and text[B-1] a visible ASCII character. What stands before B is then treated
alike with and without the rest, stage by stage:

- *Added tokens* are searched leftmost-longest. None contains white space (checked in `cut_rule`), so no match holds
  the character B and the matches before it are the same; single_word looks at one neighbour, which is a space or
  the end, and neither is a word character; lstrip and rstrip only take white space at or after B.
- *Normalizers.* A space is a starter that composes and decomposes with nothing, so NFC, NFD, NFKC and NFKD work on
  both sides apart; BertNormalizer, Lowercase and StripAccents change characters one by one (a final sigma is
  settled by the space as by the end of the text). Strip and Prepend act on the text's start and on its end, which
  here is a visible character. Replace: no pattern holds a space except " {2,}", whose matches before B end before
  B-1. Precompiled maps whole grapheme clusters; two ASCII characters other than CR LF never share one, and it only
  counts when no Replace before it has changed what stands beside the space.
- *Pre-tokenizers.* The first that is not Digits or Punctuation (which look at single characters) must end a piece
  before a space: BertPreTokenizer, Whitespace, WhitespaceSplit, Metaspace with split, ByteLevel with its pattern,
  or Split with one of the known patterns, isolated. In those patterns a space is only ever the first character of a
  match or one of a run of white space, and text[B-1] is not white space. Later pre-tokenizers see each piece by
  itself.
- *Models* see each piece by itself.

**BERT boundaries**, for BertNormalizer or none, and BertPreTokenizer: also before any ASCII white space or
punctuation and before CJK ideographs, whatever stands before. The normalizer leaves those characters apart from
their neighbours (ideographs between spaces), the pre-tokenizer splits there, and none of them occurs in an added
token (checked). `_` and ideographs are word characters, so they are left out where a single_word token looks at its
neighbours.

Where no such place exists, the window is widened up to `MAX_CHARACTERS`; a text that has none before that is cut
there hard. That is the definition of its tokens, not an approximation of others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from embedrt._json import JsonObject
from embedrt._tokenizer_parts import components
from embedrt._tokenizer_schema import TokenizerParts

MAX_CHARACTERS = 1 << 20

_ASCII_ENDS = " \t\n\r!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"
_IDEOGRAPHS = ("\u4e00", "\u9fff")
_KNOWN_SPLITS = (("Isolated", False), ("Removed", True))
# Greedy, so that the last boundary of the window is found first.
_WORD_END = r"(?s:.*)(?<=[!-~])(?= )"


class Window(NamedTuple):
    """Cuts texts for one tokenizer; `boundary` is a pattern, None where no place is provably safe."""

    boundary: str | None

    def cut(self, text: str, size: int) -> int:
        """The length of the longest safe head of at most `size` characters, or of a wider window that has one.

        `len(text)` when the whole text fits; at most `MAX_CHARACTERS`.
        """
        while True:
            size = min(size, MAX_CHARACTERS)
            if size >= len(text):
                return len(text)
            # One more character, since the boundary looks at what follows the cut.
            # Compiled here and kept by `re`: few processes ever have a text that is long enough to be cut.
            found = re.compile(self.boundary).match(text, 0, size + 1) if self.boundary else None
            if found and found.end() > 0:
                return found.end()
            if size == MAX_CHARACTERS:
                return size
            size *= 2


def cut_rule(parts: TokenizerParts, normalize: Callable[[str], str]) -> Window:
    """The widest rule that is proven for this tokenizer; `normalize` is its normalizer."""
    tokens = parts.added_tokens
    contents = "".join(token["content"] for token in tokens)
    normalized = [token for token in tokens if token["normalized"]]
    # A normalizer may put spaces into what is not ASCII: BertNormalizer around ideographs, NFKC before a lone accent.
    if any(map(str.isspace, contents)) or not all(token["content"].isascii() for token in normalized):
        return Window(None)
    normalizers = components(parts.normalizer, "normalizers")
    pre_tokenizers = components(parts.pre_tokenizer, "pretokenizers")
    kinds = [part["type"] for part in normalizers]
    if kinds in ([], ["BertNormalizer"]) and [part["type"] for part in pre_tokenizers] == ["BertPreTokenizer"]:
        ends = re.escape("".join(sorted(set(_ASCII_ENDS) - set(contents))))
        first, last = _IDEOGRAPHS
        isolated = bool(normalizers) and normalizers[0]["handle_chinese_chars"]
        if isolated and not any(first <= c <= last for c in contents) and not any(t["single_word"] for t in tokens):
            ends += f"{first}-{last}"
        return Window(f"(?s:.*)(?=[{ends}])")
    splitter = next((part for part in pre_tokenizers if part["type"] not in ("Digits", "Punctuation")), None)
    if splitter is None or not _ends_before_space(splitter) or not all(map(_leaves_spaces, normalizers)):
        return Window(None)
    if "Precompiled" in kinds:
        replaced_before = "Replace" in kinds[: kinds.index("Precompiled")]
        if replaced_before or normalized or not normalize("a a").endswith("a a"):
            return Window(None)
    return Window(_WORD_END)


def _leaves_spaces(part: JsonObject) -> bool:
    """Whether a normalizer neither makes nor matches white space beside a space, as the proof needs."""
    if part["type"] == "Prepend":
        return not any(map(str.isspace, part["prepend"]))
    if part["type"] != "Replace" or "Regex" in part["pattern"]:
        return True
    return bool(part["content"]) and not any(map(str.isspace, part["pattern"]["String"] + part["content"]))


def _ends_before_space(part: JsonObject) -> bool:
    """Whether a pre-tokenizer ends a piece before every space that follows a visible character."""
    kind = part["type"]
    if kind == "Metaspace":
        return bool(part["split"])
    if kind == "ByteLevel":
        return bool(part["use_regex"])
    if kind == "Split":
        return "Regex" in part["pattern"] and (part["behavior"], part["invert"]) in _KNOWN_SPLITS
    return True
