"""SigLIP's tokenizer from its sentencepiece model, as transformers' SiglipTokenizer applies it.

That class lowers a text, removes ASCII punctuation, makes one space of all white space and puts "▁" before what is
left; then sentencepiece normalises it with its character map and drops spaces that are double or last. The same steps
in the same order are normalizers here. The ids differ where

- a text itself spells a special token ("</s>"): that class puts no "▁" behind it, the definition does;
- a word of capitals ends in a sigma: it becomes "σ", not "ς";
- the character map composes characters that Unicode holds apart: halves of a Hangul syllable or of a voiced kana in
  their compatibility forms, combining marks that are not in canonical order.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Mapping
from typing import Any

from embedrt._tokenizer_parts import SIGLIP_PUNCTUATION, SIGLIP_SPACE, SPACES
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import sentencepiece
from embedrt_convert.inputs.special_tokens import special_tokens

_MARK = "▁"
_NFKC = ("nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf")
_SPECIAL = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}


def siglip(data: bytes, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The definition that a spiece.model and its tokenizer_config.json stand for. Raises ConversionError."""
    model = sentencepiece.read(data, where)
    _check(model, where)
    ids = {piece.text: index for index, piece in enumerate(model.pieces)}
    tokens = special_tokens(settings, _SPECIAL, lstrip=True, rstrip=True)
    if missing := [token["content"] for token in tokens.values() if token["content"] not in ids]:
        raise ConversionError(f"{where} has no piece {missing[0]}, which the tokenizer needs")
    added = {ids[token["content"]]: token for token in tokens.values()}
    eos = tokens["eos_token"]["content"]
    return {
        "added_tokens": [{"id": index, **added[index]} for index in sorted(added)],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model, settings)},
        "pre_tokenizer": {"type": "Metaspace", "replacement": _MARK, "prepend_scheme": "never", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": eos, "type_id": 0}}],
            "special_tokens": {eos: {"id": eos, "ids": [ids[eos]], "tokens": [eos]}},
        },
        "model": {
            "type": "Unigram",
            "unk_id": ids[tokens["unk_token"]["content"]],
            "byte_fallback": model.byte_fallback,
            "vocab": [[piece.text, piece.score] for piece in model.pieces],
        },
    }


def _normalizers(model: sentencepiece.SentencePieceModel, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    lower = [{"type": "Lowercase"}] if settings.get("do_lower_case", True) else []
    # The library applies a map to short grapheme clusters, sentencepiece to any sequence; so what NFKC composes
    # canonically is composed before.
    composed = [{"type": "NFC"}] if model.normalization in _NFKC else []
    charsmap = base64.b64encode(model.charsmap).decode("ascii")
    return [
        *lower,
        {"type": "Replace", "pattern": {"Regex": SIGLIP_PUNCTUATION}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": SIGLIP_SPACE}, "content": " "},
        *composed,
        *([{"type": "Precompiled", "precompiled_charsmap": charsmap}] if charsmap else []),
        {"type": "Replace", "pattern": {"Regex": SPACES}, "content": " "},
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Prepend", "prepend": _MARK},
    ]


def _check(model: sentencepiece.SentencePieceModel, where: str) -> None:
    """Refuse what the definition would do differently."""
    if model.model_type != "unigram":
        raise ConversionError(f"{where} is a {model.model_type} model; SigLIP's is unigram")
    if model.space_as_suffix or not model.remove_extra_spaces or not model.escape_spaces:
        raise ConversionError(f"{where} treats spaces in a way of its own, which is not supported")
    for piece in model.pieces:
        if piece.kind == sentencepiece.NORMAL:
            if _MARK in piece.text[1:]:
                raise ConversionError(f"{where} has the piece {piece.text!r}, which goes over a space: not supported")
        elif not set(piece.text) & set(string.punctuation):
            # One with punctuation is never found in a text, from which all of it is removed.
            raise ConversionError(f"{where} has the special piece {piece.text!r}: not supported")
