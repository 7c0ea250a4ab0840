"""The tokenizer of a Hugging Face folder: tokenizer.json, or a WordPiece vocabulary with its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embedrt._errors import EmbedrtError
from embedrt._tokenizer_schema import rebuild
from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files

# tokenizer_config.json key -> field of BertNormalizer. transformers lets the former override tokenizer.json.
_BERT_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_tokenizer(files: Files, prefix: str, settings: Mapping[str, Any], vocabulary: int, lowercase: bool) -> str:
    """The tokenizer as JSON of the whitelisted schema.

    `prefix` is the encoder's folder with its "/", `settings` its tokenizer_config.json, `vocabulary` the rows of its
    token table; `lowercase` puts a Lowercase normalizer first, as sentence-transformers' do_lower_case does.
    Raises ConversionError when there is no tokenizer that can be read, or it uses something outside the schema.
    """
    if files.has(prefix + "tokenizer.json"):
        definition = files.json(prefix + "tokenizer.json")
    elif files.has(prefix + "vocab.txt"):
        definition = _wordpiece(bytes(files.read(prefix + "vocab.txt")).decode("utf-8"), settings)
    else:
        raise ConversionError(
            f"{files.label} has no {prefix}tokenizer.json and no {prefix}vocab.txt: save a fast tokenizer into "
            "the folder (AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
        )
    normalizer = definition.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        normalizer.update({field: settings[key] for key, field in _BERT_NORMALIZER.items() if key in settings})
    if lowercase:
        definition["normalizer"] = _with_lowercase(normalizer)
    try:
        return rebuild(json.dumps(definition).encode("ascii"), vocabulary).to_json()
    except EmbedrtError as error:
        raise ConversionError(f"the tokenizer of {files.label} cannot be stored: {error}") from error


def _with_lowercase(normalizer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    first = {"type": "Lowercase"}
    if normalizer is None:
        return first
    parts = list(normalizer["normalizers"]) if normalizer.get("type") == "Sequence" else [normalizer]
    if first in parts:
        return normalizer
    return {"type": "Sequence", "normalizers": [first, *parts]}


def _wordpiece(vocab_txt: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The definition that transformers' BertTokenizer makes of a vocab.txt, one token a line."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(vocab_txt.removesuffix("\n").split("\n"))}
    special = {
        role: _token(settings, role) for role in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    if missing := [token for token in special.values() if token not in vocabulary]:
        raise ConversionError(f"vocab.txt has no {missing[0]}, which the tokenizer needs")
    cls, sep = special["cls_token"], special["sep_token"]

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"], max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.values()])
    definition: dict[str, Any] = json.loads(tokenizer.to_str())
    return definition


def _token(settings: Mapping[str, Any], role: str) -> str:
    """A special token's text; tokenizer_config.json has a string or an AddedToken's fields."""
    value = settings.get(role, f"[{role.removesuffix('_token').upper()}]")
    return str(value["content"] if isinstance(value, dict) else value)
