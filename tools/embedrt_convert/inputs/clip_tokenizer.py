"""CLIP's tokenizer from vocab.json and merges.txt, as transformers' CLIPTokenizer makes it of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt._tokenizer_parts import SPLIT_PATTERNS, WHITE_SPACE
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.special_tokens import special_tokens

_SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def clip(vocab: Mapping[str, Any], merges_txt: str, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The definition. Raises ConversionError when a special token is missing, as in another model's files."""
    special = special_tokens(settings, _SPECIAL)
    tokens = {role: token["content"] for role, token in special.items()}
    if missing := [token for token in tokens.values() if token not in vocab]:
        raise ConversionError(
            f"vocab.json of {where} has no {missing[0]}, so it is not CLIP's: save a fast tokenizer into the folder "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
        )
    # Only the first line is a remark: there are merges of "#", too.
    lines = merges_txt.removesuffix("\n").split("\n")
    merges = [line.rstrip("\r").split(" ") for line in lines if not line.startswith("#version")]
    added = {vocab[token["content"]]: token for token in special.values()}
    return {
        "added_tokens": [{"id": index, **added[index]} for index in sorted(added)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": WHITE_SPACE}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": SPLIT_PATTERNS["clip_special"]},
                    "behavior": "Removed",
                    "invert": True,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "cls": [tokens["bos_token"], vocab[tokens["bos_token"]]],
            "sep": [tokens["eos_token"], vocab[tokens["eos_token"]]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "model": {
            "type": "BPE",
            "unk_token": tokens["unk_token"],
            "end_of_word_suffix": "</w>",
            "vocab": dict(vocab),
            "merges": merges,
        },
    }
