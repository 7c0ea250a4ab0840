"""The tokenizer of a Hugging Face folder: tokenizer.json, or the files of BERT's, CLIP's or SigLIP's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embedrt._errors import EmbedrtError
from embedrt._text_config import Pad
from embedrt._tokenizer_schema import rebuild
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.clip_tokenizer import clip
from embedrt_convert.inputs.siglip_tokenizer import siglip
from embedrt_convert.inputs.special_tokens import special_tokens
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
    token table; `lowercase` puts a Lowercase normalizer first, as sentence-transformers' do_lower_case does, and
    transformers for the model type siglip2.
    Raises ConversionError when there is no tokenizer that can be read, or it uses something outside the schema.
    """
    definition = _definition(files, prefix, settings)
    normalizer = definition.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        normalizer.update({field: settings[key] for key, field in _BERT_NORMALIZER.items() if key in settings})
    if lowercase:
        definition["normalizer"] = _with_lowercase(normalizer)
    if _is_gemma(settings) and not {"add_bos_token", "add_eos_token"}.isdisjoint(settings):
        definition["post_processor"] = _gemma_ends(definition, settings)
    try:
        return rebuild(json.dumps(definition).encode("ascii"), vocabulary).to_json()
    except EmbedrtError as error:
        raise ConversionError(f"the tokenizer of {files.label} cannot be stored: {error}") from error


def read_pad(tokenizer: str, settings: Mapping[str, Any], to: int) -> Pad:
    """What fills a text up to `to` ids: the padding token of tokenizer_config.json, by its id in a definition.

    `tokenizer` is what `read_tokenizer` gave. Raises ConversionError when there is none, or when it goes to the left.
    """
    if settings.get("padding_side", "left" if _is_gemma(settings) else "right") != "right":
        raise ConversionError('tokenizer_config.json has padding_side "left"; only "right" is supported')
    content = _token(settings, "pad_token")
    for token in json.loads(tokenizer)["added_tokens"]:
        if token["content"] == content:
            return Pad(token["id"], to)
    raise ConversionError(f"tokenizer_config.json has pad_token {content!r}, which the tokenizer does not know")


def _is_gemma(settings: Mapping[str, Any]) -> bool:
    return str(settings.get("tokenizer_class")).removesuffix("Fast") in ("GemmaTokenizer", "Siglip2Tokenizer")


def _gemma_ends(definition: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The post-processor that transformers puts in place of tokenizer.json's for what tokenizer_config.json asks."""
    roles = special_tokens(settings, {"bos_token": "<bos>", "eos_token": "<eos>"})
    tokens = {role: str(token["content"]) for role, token in roles.items() if settings.get(f"add_{role}")}
    ids = {token["content"]: token["id"] for token in definition["added_tokens"]}
    if missing := [token for token in tokens.values() if token not in ids]:
        raise ConversionError(f"tokenizer_config.json adds {missing[0]}, which tokenizer.json does not know")
    ends = {role: [{"SpecialToken": {"id": token, "type_id": 0}}] for role, token in tokens.items()}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [*ends.get("bos_token", []), text, *ends.get("eos_token", [])],
        "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in tokens.values()},
    }


def _definition(files: Files, prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    # transformers has no other way to SigLIP's own tokenizer; a tokenizer.json beside it is another's approximation.
    if files.has(prefix + "spiece.model") and settings.get("tokenizer_class") == "SiglipTokenizer":
        return siglip(bytes(files.read(prefix + "spiece.model")), settings, f"spiece.model of {files.label}")
    if files.has(prefix + "tokenizer.json"):
        return files.json(prefix + "tokenizer.json")
    if files.has(prefix + "vocab.txt"):
        return _wordpiece(_text(files, prefix + "vocab.txt"), settings)
    if files.has(prefix + "vocab.json") and files.has(prefix + "merges.txt"):
        return clip(files.json(prefix + "vocab.json"), _text(files, prefix + "merges.txt"), settings, files.label)
    raise ConversionError(
        f"{files.label} has no {prefix}tokenizer.json, nor BERT's {prefix}vocab.txt, CLIP's {prefix}vocab.json with "
        f"{prefix}merges.txt or SigLIP's {prefix}spiece.model with tokenizer_class SiglipTokenizer: save a fast "
        "tokenizer into the folder (AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
    )


def _text(files: Files, name: str) -> str:
    return bytes(files.read(name)).decode("utf-8")


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
