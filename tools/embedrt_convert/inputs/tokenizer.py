"""The tokenizer of a Hugging Face folder: tokenizer.json, or the files that a tokenizer class of its own reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embedrt._errors import EmbedrtError
from embedrt._text_config import Pad
from embedrt._tokenizer_schema import rebuild
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import sentencepiece_tokenizer
from embedrt_convert.inputs.byte_level_tokenizer import qwen2, roberta
from embedrt_convert.inputs.clip_tokenizer import clip
from embedrt_convert.inputs.sentencepiece_tokenizer import from_sentencepiece
from embedrt_convert.inputs.siglip_tokenizer import siglip
from embedrt_convert.inputs.special_tokens import ends_template, special_tokens, with_legacy_files
from embedrt_convert.inputs.wordpiece_tokenizer import wordpiece
from embedrt_convert.sources.files import Files

# tokenizer_config.json key -> field of BertNormalizer. transformers lets the former override tokenizer.json.
_BERT_NORMALIZER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# A folder with one of these has a tokenizer.
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", *sentencepiece_tokenizer.FILES)
# The tokenizer class of a folder that does not name it, by its config.json's model_type.
_CLASSES = {
    **dict.fromkeys(("bert", "electra", "nomic_bert", "megatron-bert"), "BertTokenizer"),
    **dict.fromkeys(("roberta", "longformer"), "RobertaTokenizer"),
    **dict.fromkeys(("xlm-roberta", "xmod", "jina_embeddings_v3"), "XLMRobertaTokenizer"),
    **dict.fromkeys(("t5", "mt5"), "T5Tokenizer"),
    **dict.fromkeys(("qwen2", "qwen3"), "Qwen2Tokenizer"),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), "GemmaTokenizer"),
    "distilbert": "DistilBertTokenizer",
    "mpnet": "MPNetTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "llama": "LlamaTokenizer",
}
# Those whose models are told of two texts which is which, unless tokenizer_config.json says otherwise.
_TYPED = ("BertTokenizer", "ElectraTokenizer")


def read_tokenizer(files: Files, prefix: str, settings: Mapping[str, Any], vocabulary: int, lowercase: bool) -> str:
    """The tokenizer as JSON of the whitelisted schema.

    `prefix` is the encoder's folder with its "/", `settings` its tokenizer_config.json, `vocabulary` the rows of its
    token table; `lowercase` puts a Lowercase normalizer first, as sentence-transformers' do_lower_case does, and
    transformers for the model type siglip2.
    Raises ConversionError when there is no tokenizer that can be read, or it uses something outside the schema.
    """
    kind = _class(files, prefix, settings)
    definition = _definition(files, prefix, settings, kind)
    _check(definition, settings)
    normalizer = definition.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        normalizer.update({field: settings[key] for key, field in _BERT_NORMALIZER.items() if key in settings})
    if lowercase:
        definition["normalizer"] = _with_lowercase(normalizer)
    if kind == "RobertaTokenizer" and "add_prefix_space" in settings and _is_byte_level(definition):
        definition["pre_tokenizer"]["add_prefix_space"] = settings["add_prefix_space"]
    if _is_gemma(settings) and not {"add_bos_token", "add_eos_token"}.isdisjoint(settings):
        definition["post_processor"] = _gemma_ends(definition, settings)
    try:
        parts = rebuild(json.dumps(definition).encode("ascii"), vocabulary)
    except EmbedrtError as error:
        raise ConversionError(f"the tokenizer of {files.label} cannot be stored: {error}") from error
    if "token_type_ids" not in settings.get("model_input_names", ["token_type_ids"] if kind in _TYPED else []):
        parts = parts._replace(template=parts.template.untyped())
    return parts.to_json()


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
    """The post-processor for what tokenizer_config.json asks, in place of tokenizer.json's."""
    roles = special_tokens(settings, {"bos_token": "<bos>", "eos_token": "<eos>"})
    return ends_template(settings, roles, {token["content"]: token["id"] for token in definition["added_tokens"]})


def _class(files: Files, prefix: str, settings: Mapping[str, Any]) -> str:
    """The tokenizer's class as it is named, else that of the model's type; "" where there is none."""
    named = settings.get("tokenizer_class")
    if named is None and files.has(prefix + "config.json"):
        config = files.json(prefix + "config.json")
        named = config.get("tokenizer_class") or _CLASSES.get(str(config.get("model_type")))
    return str(named or "").removesuffix("Fast")


def _check(definition: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse what would give a text other tokens than those from its start."""
    truncation = definition.get("truncation") or {}
    if settings.get("truncation_side", str(truncation.get("direction", "right")).lower()) != "right":
        raise ConversionError('the tokenizer cuts texts on the left (truncation_side); only "right" is supported')
    if settings.get("split_special_tokens"):
        raise ConversionError("tokenizer_config.json has split_special_tokens, which is not supported")


def _is_byte_level(definition: Mapping[str, Any]) -> bool:
    return (definition.get("pre_tokenizer") or {}).get("type") == "ByteLevel"


def _definition(files: Files, prefix: str, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    # transformers has no other way to SigLIP's own tokenizer; a tokenizer.json beside it is another's approximation.
    if files.has(prefix + "spiece.model") and kind == "SiglipTokenizer":
        return siglip(bytes(files.read(prefix + "spiece.model")), settings, f"spiece.model of {files.label}")
    if files.has(prefix + "tokenizer.json"):
        return files.json(prefix + "tokenizer.json")
    legacy = (
        files.json(prefix + name) if files.has(prefix + name) else {}
        for name in ("special_tokens_map.json", "added_tokens.json")
    )
    settings = with_legacy_files(settings, *legacy)
    if files.has(prefix + "vocab.txt"):
        return wordpiece(_text(files, prefix + "vocab.txt"), settings, kind)
    if files.has(prefix + "vocab.json") and files.has(prefix + "merges.txt"):
        vocab, merges = files.json(prefix + "vocab.json"), _text(files, prefix + "merges.txt")
        if kind == "RobertaTokenizer":
            return roberta(vocab, merges, settings, files.label)
        return (
            qwen2(vocab, merges, settings) if kind == "Qwen2Tokenizer" else clip(vocab, merges, settings, files.label)
        )
    for name in sentencepiece_tokenizer.FILES:
        if files.has(prefix + name):
            return from_sentencepiece(bytes(files.read(prefix + name)), settings, kind, f"{name} of {files.label}")
    raise ConversionError(
        f"{files.label} has no {prefix}tokenizer.json, {prefix}vocab.txt, {prefix}vocab.json with {prefix}merges.txt, "
        f"nor a sentencepiece model ({', '.join(sentencepiece_tokenizer.FILES)}): save a fast tokenizer into the "
        "folder (AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
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


def _token(settings: Mapping[str, Any], role: str) -> str:
    """A special token's text; tokenizer_config.json has a string or an AddedToken's fields."""
    value = settings.get(role, f"[{role.removesuffix('_token').upper()}]")
    return str(value["content"] if isinstance(value, dict) else value)
