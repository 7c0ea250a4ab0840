"""Normalizers and pre-tokenizers that a tokenizer section may use, rebuilt field by field.

Each function takes the parsed JSON of one component and gives back a fresh one of known type with known fields
only. What the `tokenizers` library would compile or expand without bound is limited here: regular expressions must
be among those that known models use, and the normalizers together may lengthen a text at most `MAX_GROWTH` times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from embedrt._charsmap import check_charsmap
from embedrt._errors import FormatError
from embedrt._json import Fields, JsonObject

MAX_COMPONENTS = 16
MAX_GROWTH = 1024
MAX_REPLACEMENT = 64
MAX_CHARSMAP = 1 << 20  # characters of base64; sentencepiece's NFKC map has 316,720

SPACES = " {2,}"
WHITE_SPACE = r"\s+"
# What SigLIP takes for a space: Python's white space, and sentencepiece's own mark.
SIGLIP_SPACE = r"[\s\x1c-\x1f▁]+"
# All of ASCII, as SigLIP is defined; and without "/", "<" and ">", as its published tokenizer.json has it.
SIGLIP_PUNCTUATION = r"""[!"\#\$%\&'\(\)\*\+,\-\./:;<=>\?@\[\\\]\^_`\{\|\}\~]"""
SIGLIP_JSON_PUNCTUATION = r"""[!"\#\$%\&'\(\)\*\+,\-\.:;=\?@\[\\\]\^_`\{\|\}\~]"""
# Each with the bytes of its shortest match.
REPLACE_PATTERNS = {SPACES: 2, WHITE_SPACE: 1, SIGLIP_SPACE: 1, SIGLIP_PUNCTUATION: 1, SIGLIP_JSON_PUNCTUATION: 1}

_CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

# Every one is linear on any text: alternatives start with different character classes, or are words of a few
# characters, and the only look-ahead gives back at most one character.
SPLIT_PATTERNS = {
    "clip": _CLIP,
    "clip_special": rf"<\|startoftext\|>|<\|endoftext\|>|{_CLIP}",
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
}
_BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")

# A rebuilt component, and how many times longer than its input its output can be, in bytes.
Normalizer = tuple[JsonObject, float]


def normalizer(value: Any, where: str) -> JsonObject | None:
    """Rebuild the normalizer; None when there is none. Raises FormatError."""
    if value is None:
        return None
    rebuilt, growth = _sequence_or_one(value, where, "normalizers", _normalizer)
    total = 1.0
    for factor in growth:
        total *= factor
    if total > MAX_GROWTH:
        raise FormatError(f"{where}: lengthens a text up to {total:g} times, at most {MAX_GROWTH} are accepted")
    return rebuilt


def pre_tokenizer(value: Any, where: str) -> JsonObject | None:
    """Rebuild the pre-tokenizer; None when there is none. Raises FormatError."""
    if value is None:
        return None
    rebuilt, _ = _sequence_or_one(value, where, "pretokenizers", lambda item, at: (_pre_tokenizer(item, at), 1.0))
    return rebuilt


def components(rebuilt: JsonObject | None, list_name: str) -> list[JsonObject]:
    """The parts of a rebuilt component in order: a Sequence's items, itself, or nothing."""
    if rebuilt is None:
        return []
    return list(rebuilt[list_name]) if rebuilt["type"] == "Sequence" else [rebuilt]


def _sequence_or_one(
    value: Any, where: str, list_name: str, one: Callable[[Any, str], Normalizer]
) -> tuple[JsonObject, list[float]]:
    """A Sequence of components, nested ones flattened, or a single one."""
    found: list[Normalizer] = []
    is_sequence = isinstance(value, dict) and value.get("type") == "Sequence"

    def visit(item: Any, at: str, depth: int) -> None:
        if isinstance(item, dict) and item.get("type") == "Sequence":
            if depth > 4:
                raise FormatError(f"{at}: sequences nested more than 4 deep")
            fields = Fields(item, at)
            fields.raw("type")
            for index, child in enumerate(fields.list(list_name, MAX_COMPONENTS)):
                visit(child, f"{at}.{list_name}[{index}]", depth + 1)
            fields.done()
        else:
            found.append(one(item, at))
        if len(found) > MAX_COMPONENTS:
            raise FormatError(f"{where}: more than {MAX_COMPONENTS} components")

    visit(value, where, 1)
    growth = [factor for _, factor in found]
    parts = [part for part, _ in found]
    return ({"type": "Sequence", list_name: parts} if is_sequence else parts[0]), growth


def _normalizer(value: Any, where: str) -> Normalizer:
    fields = Fields(value, where)
    kind = fields.text("type", 64)
    part: JsonObject = {"type": kind}
    # NFKD's longest expansion is U+FDFA, 3 bytes to 33. The others at most triple a character (U+0390 into three
    # marks); a lower-case form is at most one and a half times as long.
    growth = 1.0
    if kind == "BertNormalizer":
        for name in ("clean_text", "handle_chinese_chars"):
            part[name] = fields.flag(name)
        strip_accents = fields.optional("strip_accents")
        if strip_accents is not None and not isinstance(strip_accents, bool):
            raise FormatError(f"{where}.strip_accents: expected true, false or null")
        part["strip_accents"] = strip_accents
        part["lowercase"] = fields.flag("lowercase")
        growth = 8.0
    elif kind in ("NFKC", "NFKD"):
        growth = 11.0
    elif kind in ("NFC", "NFD"):
        growth = 3.0
    elif kind == "Lowercase":
        growth = 1.5
    elif kind == "StripAccents":
        pass
    elif kind == "Strip":
        part["strip_left"] = fields.flag("strip_left")
        part["strip_right"] = fields.flag("strip_right")
    elif kind == "Prepend":
        part["prepend"] = fields.text("prepend", MAX_REPLACEMENT, 1)
    elif kind == "Replace":
        part["pattern"] = _pattern(fields.raw("pattern"), f"{where}.pattern", REPLACE_PATTERNS)
        part["content"] = fields.text("content", MAX_REPLACEMENT)
        regex = part["pattern"].get("Regex")
        shortest = REPLACE_PATTERNS[regex] if regex else len(part["pattern"]["String"].encode())
        growth = max(1.0, len(part["content"].encode()) / shortest)
    elif kind == "Precompiled":
        part["precompiled_charsmap"] = fields.text("precompiled_charsmap", MAX_CHARSMAP, 1)
        growth = check_charsmap(part["precompiled_charsmap"], f"{where}.precompiled_charsmap")
    else:
        raise FormatError(f"{where}: the normalizer {kind!r} is not supported")
    fields.done()
    return part, growth


def _pre_tokenizer(value: Any, where: str) -> JsonObject:
    fields = Fields(value, where)
    kind = fields.text("type", 64)
    part: JsonObject = {"type": kind}
    if kind in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit"):
        pass
    elif kind == "Metaspace":
        part["replacement"] = fields.text("replacement", 1, 1)
        # Files from before 0.15 of the library say add_prefix_space where later ones say prepend_scheme.
        add_prefix_space = fields.flag("add_prefix_space", default=True)
        scheme = "always" if add_prefix_space else "never"
        part["prepend_scheme"] = fields.choice("prepend_scheme", ("always", "first", "never"), default=scheme)
        part["split"] = fields.flag("split", default=True)
        fields.optional("str_rep")
    elif kind == "ByteLevel":
        part["add_prefix_space"] = fields.flag("add_prefix_space")
        part["trim_offsets"] = fields.flag("trim_offsets", default=True)
        part["use_regex"] = fields.flag("use_regex", default=True)
    elif kind == "Punctuation":
        part["behavior"] = fields.choice("behavior", _BEHAVIORS, default="Isolated")
    elif kind == "Digits":
        part["individual_digits"] = fields.flag("individual_digits")
    elif kind == "Split":
        part["pattern"] = _pattern(fields.raw("pattern"), f"{where}.pattern", SPLIT_PATTERNS.values())
        part["behavior"] = fields.choice("behavior", _BEHAVIORS)
        part["invert"] = fields.flag("invert")
    else:
        raise FormatError(f"{where}: the pre-tokenizer {kind!r} is not supported")
    fields.done()
    return part


def _pattern(value: Any, where: str, known: Iterable[str]) -> JsonObject:
    fields = Fields(value, where)
    regex = fields.optional("Regex")
    if regex is None:
        # An empty literal matches everywhere, without end.
        rebuilt = {"String": fields.text("String", MAX_REPLACEMENT, 1)}
    elif isinstance(regex, str) and regex in known:
        rebuilt = {"Regex": regex}
    else:
        raise FormatError(f"{where}: the regular expression {str(regex)[:80]!r} is not among the known ones")
    fields.done()
    return rebuilt
