"""BERT's and MPNet's tokenizers from vocab.txt, as transformers' BertTokenizer and MPNetTokenizer make them of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.special_tokens import added_tokens, special_tokens

_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_MPNET = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "[UNK]",
    "pad_token": "<pad>",
}


def wordpiece(vocab_txt: str, settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The definition of a vocab.txt, one token a line; `kind` is the tokenizer's class.

    Raises ConversionError when a special token is missing.
    """
    lines = vocab_txt.removesuffix("\n").split("\n")
    # White space alone is never a token: no text has it inside a word.
    ids = {line.rstrip(): number for number, line in enumerate(lines) if line.rstrip()}
    if kind == "MPNetTokenizer":
        roles = special_tokens(settings, _MPNET)
        roles |= special_tokens(settings, {"mask_token": "<mask>"}, lstrip=True)
    else:
        roles = special_tokens(settings, _BERT)
    names = {role: token["content"] for role, token in roles.items()}
    if missing := [name for name in names.values() if name not in ids]:
        raise ConversionError(f"vocab.txt has no {missing[0]}, which the tokenizer needs")
    cls, sep = ([names[role], ids[names[role]]] for role in ("cls_token", "sep_token"))
    post_processor: dict[str, Any] = {"type": "BertProcessing", "cls": cls, "sep": sep}
    if kind == "MPNetTokenizer":
        post_processor |= {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": False}
    return {
        "added_tokens": added_tokens(settings, roles.values(), (), ids),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
            "strip_accents": settings.get("strip_accents"),
            "lowercase": settings.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "model": {
            "type": "WordPiece",
            "unk_token": names["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
