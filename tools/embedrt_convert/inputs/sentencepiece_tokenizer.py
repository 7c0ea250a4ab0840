"""Tokenizers of texts from their sentencepiece models, as transformers' classes make them of these.

Those classes take the pieces and the character map and nothing else: what the model says of spaces is put in place by
normalizers and pre-tokenizers of their own. The ids are those of transformers, not always of sentencepiece.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import sentencepiece
from embedrt_convert.inputs.sentencepiece import SentencePieceModel
from embedrt_convert.inputs.special_tokens import added_tokens, ends_template, special_tokens, template_piece

# What each class stores its model as.
FILES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model")
_MARK = "▁"
_BERT_LIKE = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
_XLM_ROBERTA = {**_BERT_LIKE, "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
_ALBERT = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": "<unk>",
    "sep_token": "[SEP]",
    "pad_token": "<pad>",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_GEMMA = {"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
_LLAMA = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}

Definition = dict[str, Any]
Pieces = list[list[Any]]


def from_sentencepiece(data: bytes, settings: Mapping[str, Any], kind: str, where: str) -> Definition:
    """The definition of a model for the tokenizer class `kind`. Raises ConversionError for classes not known."""
    make = _CLASSES.get(kind)
    if make is None:
        raise ConversionError(
            f"{where} has the tokenizer class {kind!r}, of which no sentencepiece model can be read, only a "
            "tokenizer.json: save a fast tokenizer into the folder "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
        )
    return make(sentencepiece.read(data, where), settings, where)


def _xlm_roberta(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    """Special tokens in fairseq's order before the pieces, and a mask behind."""
    roles = special_tokens(settings, _XLM_ROBERTA)
    names = _names(roles)
    first = [[names[role], 0.0] for role in ("bos_token", "pad_token", "eos_token", "unk_token")]
    pieces = [*first, *_pieces(model)[3:], [names["mask_token"], 0.0]]
    ends = names["bos_token"], names["eos_token"]
    return _unigram(model, settings, roles, pieces, 3, _charsmap(model), _around(*ends, middle=2), where)


def _camembert(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    roles = special_tokens(settings, _BERT_LIKE | {"unk_token": "<unk>", "pad_token": "<pad>"})
    roles |= special_tokens(settings, {"mask_token": "<mask>"}, lstrip=True)
    names = _names(roles)
    first = ["<s>NOTUSED", names["pad_token"], "</s>NOTUSED", names["unk_token"]]
    pieces = [*([name, 0.0] for name in first), ["<unk>NOTUSED", -100.0], *_pieces(model)[1:]]
    ends = names["bos_token"], names["eos_token"]
    pieces.append([names["mask_token"], 0.0])
    return _unigram(model, settings, roles, pieces, 3, _charsmap(model), _around(*ends, middle=2), where)


def _albert(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    roles = special_tokens(settings, _ALBERT)
    names = _names(roles)
    parts: list[Definition] = [
        {"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")
    ]
    if not settings.get("keep_accents", False):
        parts += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if settings.get("do_lower_case", True):
        parts.append({"type": "Lowercase"})
    around = _around(names["cls_token"], names["sep_token"], middle=1)
    return _unigram(model, settings, roles, _pieces(model), 1, [*parts, *_charsmap(model)], around, where)


def _t5(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    """Sentinels behind the pieces, the last first."""
    roles = special_tokens(settings, _T5)
    sentinels = [f"<extra_id_{index}>" for index in reversed(range(settings.get("extra_ids", 100)))]
    pieces = [*_pieces(model), *([name, 0.0] for name in sentinels)]
    around = _around(None, _names(roles)["eos_token"], middle=1)
    return _unigram(model, settings, roles, pieces, 2, _charsmap(model), around, where, sentinels)


def _gemma(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    roles = special_tokens(settings, _GEMMA | {"mask_token": "<mask>"})
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    definition = _bpe(model, settings, roles, where)
    definition["model"]["unk_token"] = _names(roles)["unk_token"]
    return definition | {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": _MARK},
        "pre_tokenizer": split,
    }


def _llama(model: SentencePieceModel, settings: Mapping[str, Any], where: str) -> Definition:
    space = settings.get("add_prefix_space")
    scheme = "never" if space is False else "always" if settings.get("legacy") else "first"
    return _bpe(model, settings, special_tokens(settings, _LLAMA), where) | {
        "pre_tokenizer": {"type": "Metaspace", "replacement": _MARK, "prepend_scheme": scheme, "split": False},
    }


_CLASSES: dict[str, Callable[[SentencePieceModel, Mapping[str, Any], str], Definition]] = {
    "XLMRobertaTokenizer": _xlm_roberta,
    "CamembertTokenizer": _camembert,
    "AlbertTokenizer": _albert,
    "T5Tokenizer": _t5,
    "GemmaTokenizer": _gemma,
    "LlamaTokenizer": _llama,
}


def _unigram(
    model: SentencePieceModel,
    settings: Mapping[str, Any],
    roles: Mapping[str, Mapping[str, Any]],
    pieces: Pieces,
    unknown: int,
    normalizers: list[Definition],
    around: list[list[str]],
    where: str,
    more: list[str] | None = None,
) -> Definition:
    """`unknown` is the id that the class takes for the unknown piece; `around` a template's single and pair."""
    if model.model_type != "unigram":
        raise ConversionError(f"{where} is a {model.model_type} model where its tokenizer class reads unigram ones")
    ids = {text: index for index, (text, _) in enumerate(pieces)}
    if len(ids) < len(pieces):
        raise ConversionError(f"{where} has a piece twice, or one that is a special token")
    if ids.get(_names(roles)["unk_token"]) != unknown:
        raise ConversionError(f"{where}: the unknown piece is not the one of id {unknown}, as its class has it")
    scheme = "always" if settings.get("add_prefix_space", True) else "never"
    metaspace = {"type": "Metaspace", "replacement": _MARK, "prepend_scheme": scheme, "split": True}
    single, pair = around
    names = [name for name in dict.fromkeys(pair) if name not in "AB"]
    if missing := [name for name in names if name not in ids]:
        raise ConversionError(f"{where} has no piece {missing[0]}, which the tokenizer needs")
    return {
        "added_tokens": added_tokens(settings, roles.values(), [*_named_pieces(model), *(more or ())], ids),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": list(map(template_piece, single)),
            "pair": list(map(template_piece, pair)),
            "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in names},
        },
        "model": {"type": "Unigram", "unk_id": unknown, "byte_fallback": False, "vocab": pieces},
    }


def _bpe(
    model: SentencePieceModel, settings: Mapping[str, Any], roles: Mapping[str, Mapping[str, Any]], where: str
) -> Definition:
    """Every way to make a piece of two others is a merge, those of earlier pieces first."""
    if model.model_type != "bpe":
        raise ConversionError(f"{where} is a {model.model_type} model where its tokenizer class reads BPE")
    ids = {piece.text: index for index, piece in enumerate(model.pieces)}
    if len(ids) < len(model.pieces):
        raise ConversionError(f"{where} has a piece twice")
    cuts = ((text[:at], text[at:]) for text in ids for at in range(1, len(text)))
    merges = [[left, right] for left, right in cuts if left in ids and right in ids]
    return {
        "added_tokens": added_tokens(settings, roles.values(), _named_pieces(model), ids),
        "post_processor": ends_template(settings, roles, ids),
        "model": {"type": "BPE", "fuse_unk": True, "byte_fallback": True, "vocab": ids, "merges": merges},
    }


def _around(first: str | None, last: str, middle: int) -> list[list[str]]:
    """A template's single and pair, with `middle` of the last token between two texts."""
    start = [first] if first is not None else []
    return [[*start, "A", last], [*start, "A", *[last] * middle, "B", last]]


def _names(roles: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {role: str(token["content"]) for role, token in roles.items()}


def _pieces(model: SentencePieceModel) -> Pieces:
    return [[piece.text, piece.score] for piece in model.pieces]


def _named_pieces(model: SentencePieceModel) -> list[str]:
    """Pieces that texts may spell."""
    kinds = (sentencepiece.CONTROL, sentencepiece.USER_DEFINED)
    return [piece.text for piece in model.pieces if piece.kind in kinds]


def _charsmap(model: SentencePieceModel) -> list[Definition]:
    text = base64.b64encode(model.charsmap).decode("ascii")
    return [{"type": "Precompiled", "precompiled_charsmap": text}] if text else []
