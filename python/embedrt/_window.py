"""Where a huge text may be cut before tokenising, so that the tokens kept are those of the whole text.

Only the first tokens of a text are used, up to the model's limit. Tokenising ten million characters to keep 256
tokens takes seconds and a gigabyte, so `Window` finds a place B such that the tokens of text[:B] are the first
tokens of the text.

**Word boundaries**: text[B] is a space and text[B-1] a visible ASCII character; a letter or digit where punctuation is
removed. What stands before B is then treated alike with and without the rest, stage by stage:

- *Added tokens* are searched leftmost-longest, those that say so in the normalized text. None contains a space, nor
  what a normalizer could make one of (checked in `cut_rule`), so no match holds the character B and the matches before
  it are the same; single_word looks at one neighbour, which is a space or the end, and neither is a word character;
  lstrip and rstrip only take white space at or after B. Where some are runs of spaces, as ModernBERT has them, the
  space at B must be a single one.
- *Normalizers.* A space is a starter that composes and decomposes with nothing, so NFC, NFD, NFKC and NFKD work on
  both sides apart; BertNormalizer, Lowercase and StripAccents change characters one by one (a final sigma is
  settled by the space as by the end of the text). Strip and Prepend act on the text's start and on its end, which
  here is a visible character. Replace: no literal holds a space, and white space only ever becomes one space, in
  matches that end before B-1 or start at B; "▁", which SigLIP takes for one too, is not at B-1 where no literal was
  replaced, and neither is punctuation. Precompiled maps whole grapheme clusters; two ASCII characters other than CR LF
  never share one, and it only counts when no literal replaced before it has put anything but visible ASCII beside the
  space. A "▁" in place of several spaces, at the end, is what Metaspace makes of each.
- *Pre-tokenizers.* The first that is not Digits or Punctuation (which look at single characters) must end a piece
  before a space: BertPreTokenizer, Whitespace, WhitespaceSplit, Metaspace with split, ByteLevel with its pattern,
  or Split with one of the known patterns, isolated. In those patterns a space is only ever the first character of a
  match or one of a run of white space, and text[B-1] is not white space. Later pre-tokenizers see each piece by
  itself.
- *Models* see each piece by itself.

**The same for BPE without pieces**, as Gemma and Llama have it: the last normalizer or the pre-tokenizer makes a "▁" of
every space, nothing else is replaced, and no pre-tokenizer splits. No token has a "▁" behind the character at B-1, nor
behind bytes or the end of the unknown one, which has none itself, so that no merge joins what ends at B-1 with what
follows; "▁" is a token, so that unknown characters do not fuse over B; the end of a word is not marked, and whole words
are not looked up.

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
from collections.abc import Callable, Sequence
from typing import NamedTuple

from embedrt._json import JsonObject
from embedrt._tokenizer_parts import (
    SIGLIP_JSON_PUNCTUATION,
    SIGLIP_PUNCTUATION,
    SIGLIP_SPACE,
    SPACES,
    WHITE_SPACE,
    components,
)
from embedrt._tokenizer_schema import TokenizerParts

MAX_CHARACTERS = 1 << 20

_ASCII_ENDS = " \t\n\r!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"
_IDEOGRAPHS = ("\u4e00", "\u9fff")
_KNOWN_SPLITS = (("Isolated", False), ("Removed", True))
_MARK = "▁"
_ONE_SPACE = (SPACES, WHITE_SPACE, SIGLIP_SPACE)
_PUNCTUATION = (SIGLIP_PUNCTUATION, SIGLIP_JSON_PUNCTUATION)
_UNICODE_FORMS = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")
_VISIBLE = "!-~"
_ALPHANUMERIC = "0-9A-Za-z"


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
    contents = [token["content"] for token in tokens]
    spaced = [content for content in contents if " " in content]
    normalized = [token["content"] for token in tokens if token["normalized"]]
    normalizers = components(parts.normalizer, "normalizers")
    pre_tokenizers = components(parts.pre_tokenizer, "pretokenizers")
    kinds = [part["type"] for part in normalizers]
    # A normalizer may put spaces into what is not ASCII: BertNormalizer around ideographs, NFKC before a lone accent.
    if not all(map(_stays_one_word, set(normalized) - set(spaced))):
        return Window(None)
    if spaced and (not all(map(_is_run, spaced)) or not set(kinds) <= set(_UNICODE_FORMS)):
        return Window(None)
    if kinds in ([], ["BertNormalizer"]) and [part["type"] for part in pre_tokenizers] == ["BertPreTokenizer"]:
        return Window(None if spaced else _bert_boundary(normalizers, tokens))
    if _marks_spaces_only(normalizers, pre_tokenizers):
        ends = "" if normalized else _ends_apart(parts.model)
        return Window(_before_space(ends, spaced) if ends else None)
    splitter = next((part for part in pre_tokenizers if part["type"] not in ("Digits", "Punctuation")), None)
    if splitter is None or not _ends_before_space(splitter):
        return Window(None)
    if normalizers and splitter is pre_tokenizers[0] and _marks_runs_as(normalizers[-1], splitter):
        normalizers = normalizers[:-1]
    if not all(map(_leaves_spaces, normalizers)):
        return Window(None)
    literals = [part for part in normalizers if "String" in part.get("pattern", ())]
    if "Precompiled" in kinds:
        before = normalizers[: kinds.index("Precompiled")]
        replaced = any(part in before and not _is_visible(part["content"]) for part in literals)
        if replaced or normalized or not normalize("a a").endswith("a a"):
            return Window(None)
    regexes = [part["pattern"].get("Regex") for part in normalizers if part["type"] == "Replace"]
    if literals and any(regex in (SIGLIP_SPACE, *_PUNCTUATION) for regex in regexes):
        return Window(None)
    return Window(_before_space(_ALPHANUMERIC if any(r in _PUNCTUATION for r in regexes) else _VISIBLE, spaced))


def _before_space(ends: str, spaced: Sequence[str]) -> str:
    """A boundary behind one of the characters `ends`; with tokens of spaces, before a single one."""
    # Greedy, so that the last boundary of the window is found first.
    return rf"(?s:.*)(?<=[{ends}])(?= {f'[{_VISIBLE}]' if spaced else ''})"


def _bert_boundary(normalizers: Sequence[JsonObject], tokens: Sequence[JsonObject]) -> str:
    contents = "".join(token["content"] for token in tokens)
    ends = re.escape("".join(sorted(set(_ASCII_ENDS) - set(contents))))
    first, last = _IDEOGRAPHS
    isolated = bool(normalizers) and normalizers[0]["handle_chinese_chars"]
    if isolated and not any(first <= c <= last for c in contents) and not any(t["single_word"] for t in tokens):
        ends += f"{first}-{last}"
    return f"(?s:.*)(?=[{ends}])"


def _stays_one_word(content: str) -> bool:
    return content.isascii() and not any(map(str.isspace, content))


def _is_space(part: JsonObject) -> bool:
    """Whether a Replace or Split looks for single spaces."""
    return bool(part.get("pattern") == {"String": " "})


def _is_run(content: str) -> bool:
    return len(content) > 1 and not content.strip(" ")


def _is_visible(content: str) -> bool:
    return content.isascii() and content.isprintable() and " " not in content


def _marks_spaces_only(normalizers: Sequence[JsonObject], pre_tokenizers: Sequence[JsonObject]) -> bool:
    """Whether every space becomes a "▁", nothing else is replaced and nothing is split."""
    by_normalizer = bool(normalizers) and _is_space(normalizers[-1]) and normalizers[-1]["content"] == _MARK
    others = normalizers[:-1] if by_normalizer else normalizers
    if any(part["type"] in ("Replace", "Precompiled") for part in others):
        return False
    if by_normalizer:
        # Every space is gone: splitting there splits nothing.
        return all(map(_is_space, pre_tokenizers))
    part = pre_tokenizers[0] if len(pre_tokenizers) == 1 else {"type": None}
    return part["type"] == "Metaspace" and part["replacement"] == _MARK and not part["split"]


def _ends_apart(model: JsonObject) -> str:
    """The visible ASCII characters that BPE never joins with a "▁" behind them, as a class; "" where none is known."""
    unknown = model.get("unk_token")
    if model["type"] != "BPE" or model["end_of_word_suffix"] or model["ignore_merges"] or _MARK not in model["vocab"]:
        return ""
    joined = set(re.findall(f"([^{_MARK}]){_MARK}", "\n".join(model["vocab"]))) - {"\n"}
    # Bytes are spelled <0x41>.
    if ">" in joined or (unknown is not None and (_MARK in unknown or unknown[-1] in joined)):
        return ""
    return re.escape("".join(character for character in map(chr, range(0x21, 0x7F)) if character not in joined))


def _marks_runs_as(part: JsonObject, splitter: JsonObject) -> bool:
    """Whether a normalizer makes of several spaces what a Metaspace makes of one."""
    marks = part["type"] == "Replace" and part["pattern"] == {"Regex": SPACES}
    return bool(marks and splitter["type"] == "Metaspace" and part["content"] == splitter["replacement"])


def _leaves_spaces(part: JsonObject) -> bool:
    """Whether a normalizer neither makes nor matches white space beside a space, as the proof needs."""
    if part["type"] == "Prepend":
        return not any(map(str.isspace, part["prepend"]))
    if part["type"] != "Replace":
        return True
    if "Regex" in part["pattern"]:
        return part["content"] == " " or part["pattern"]["Regex"] not in _ONE_SPACE
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
