"""RoBERTa's and Qwen2's tokenizers from vocab.json and merges.txt, as transformers' classes make them of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt._tokenizer_parts import SPLIT_PATTERNS
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.special_tokens import added_tokens, ends_template, special_tokens

_ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_QWEN2 = {"unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}


def read_merges(merges_txt: str) -> list[list[str]]:
    """The two halves of each merge. Only a first line of the version is a remark: there are merges of "#", too."""
    lines = merges_txt.removesuffix("\n").split("\n")
    return [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]


def roberta(vocab: Mapping[str, int], merges_txt: str, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """RoBERTa's definition. Raises ConversionError when a special token is missing."""
    roles = special_tokens(settings, _ROBERTA)
    names = {role: token["content"] for role, token in roles.items()}
    if missing := [name for name in names.values() if name not in vocab]:
        raise ConversionError(f"vocab.json of {where} has no {missing[0]}, which RobertaTokenizer needs")
    space = settings.get("add_prefix_space", False)
    return {
        "added_tokens": added_tokens(settings, roles.values(), (), vocab),
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": [names["cls_token"], vocab[names["cls_token"]]],
            "sep": [names["sep_token"], vocab[names["sep_token"]]],
            "trim_offsets": settings.get("trim_offsets", True),
            "add_prefix_space": space,
        },
        "model": {"type": "BPE", "vocab": dict(vocab), "merges": read_merges(merges_txt)},
    }


def qwen2(vocab: Mapping[str, int], merges_txt: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Qwen2's and Qwen3's definition."""
    roles = special_tokens(settings, _QWEN2)
    added = added_tokens(settings, roles.values(), (), vocab)
    ids = {token["content"]: token["id"] for token in added}
    space = settings.get("add_prefix_space") or False
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS["qwen2"]}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": False}
    return {
        "added_tokens": added,
        "post_processor": ends_template(settings, roles, ids),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "model": {"type": "BPE", "vocab": dict(vocab), "merges": read_merges(merges_txt)},
    }
