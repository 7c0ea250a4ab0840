"""The ids of tokens by their text or by their role, as transformers finds them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from embedrt_convert.sources.files import Files

# What tokens of a role are called where tokenizer_config.json does not say it: BERT's names, then RoBERTa's.
_USUAL = {
    "cls_token": ("[CLS]", "<s>"),
    "eos_token": ("</s>",),
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "mask_token": ("[MASK]", "<mask>"),
}


class TokenIds:
    """Of a tokenizer's definition as JSON, and of the roles in the tokenizer_config.json beside it."""

    def __init__(self, files: Files, encoder: str, tokenizer: str) -> None:
        definition = json.loads(tokenizer)
        vocabulary = definition["model"]["vocab"]
        if isinstance(vocabulary, list):
            vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
        self._ids = {**vocabulary, **{each["content"]: each["id"] for each in definition["added_tokens"]}}
        name = encoder + "tokenizer_config.json"
        self._settings = files.json(name) if files.has(name) else {}

    def known(self, words: Iterable[str]) -> tuple[int, ...]:
        """The ids of those words that are tokens, in ascending order."""
        return tuple(sorted({self._ids[word] for word in words if word in self._ids}))

    def special(self, role: str) -> int | None:
        """The id of cls_token, mask_token …, None where the tokenizer has no such token."""
        stated = self._settings.get(role)
        content = stated.get("content") if isinstance(stated, dict) else stated
        names = [content] if content else _USUAL[role]
        return next((self._ids[name] for name in names if name in self._ids), None)
