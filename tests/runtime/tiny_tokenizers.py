"""Small tokenizer definitions of each family, as tokenizer.json holds them."""

from __future__ import annotations

import json
import string
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from embedrt._tokenizer_parts import SIGLIP_PUNCTUATION, SIGLIP_SPACE, SPLIT_PATTERNS

Definition = dict[str, Any]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["hello", "world", "the", "password", "re", "##set", "un", "##able", "cafe", "中", "文", "дом"]


def added(tokens: dict[str, int], **flags: bool) -> list[Definition]:
    common = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": index, "content": token, **common, **flags} for token, index in tokens.items()]


def template(before: tuple[str, int], after: tuple[str, int]) -> Definition:
    special = {token: {"id": token, "ids": [index], "tokens": [token]} for token, index in (before, after)}
    text = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    first, last = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (before, after))
    return {
        "type": "TemplateProcessing",
        "single": [first, text[0], last],
        "pair": [first, text[0], last, text[1], last],
        "special_tokens": special,
    }


def word_piece() -> Definition:
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    tokens = [*SPECIALS, *letters, *(f"##{c}" for c in string.ascii_lowercase + string.digits), *WORDS]
    return {
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": added({token: index for index, token in enumerate(SPECIALS)}),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(("[CLS]", 2), ("[SEP]", 3)),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 20,
            "vocab": {token: index for index, token in enumerate(tokens)},
        },
    }


def unigram() -> Definition:
    pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁", -2.5]]
    pieces += [[letter, -5.0 - index / 7] for index, letter in enumerate(string.ascii_letters + string.punctuation)]
    pieces += [[f"▁{word}", -6.25 - index / 3] for index, word in enumerate(["hello", "world", "the", "дом"])]
    pieces += [["ll", -4.1], ["aa", -4.25], ["▁a", -3.75], ["<mask>", 0.0]]
    specials = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(specials) + added({"<mask>": len(pieces) - 1}, lstrip=True),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFKC"},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "WhitespaceSplit"},
                {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
            ],
        },
        "post_processor": template(("<s>", 0), ("</s>", 2)),
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False},
    }


def byte_level_bpe() -> Definition:
    merges = [["Ġ", "h"], ["e", "l"], ["l", "o"], ["Ġh", "el"], ["Ġhel", "lo"], ["Ġ", "Ġ"], ["'", "s"]]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), *(a + b for a, b in merges), "<mask>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    specials = {token: vocab[token] for token in ("<s>", "<pad>", "</s>", "<unk>")}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(specials) + added({"<mask>": vocab["<mask>"]}, lstrip=True),
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [" ".join(pair) for pair in merges],
        },
    }


def clip() -> Definition:
    """Bytes with and without the end of a word, merges, and the special tokens last."""
    merges = [["h", "e"], ["l", "l"], ["ll", "o</w>"], ["he", "llo</w>"], ["t", "h"], ["th", "e</w>"], ["'", "s</w>"]]
    letters = sorted(ByteLevel.alphabet())
    specials = ["<|startoftext|>", "<|endoftext|>"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges), *specials]
    vocab = {token: index for index, token in enumerate(tokens)}
    start, end = specials
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            *added({start: vocab[start]}, normalized=True),
            *added({end: vocab[end]}),
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "NFC"}, replace(r"\s+", " "), {"type": "Lowercase"}],
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
            "sep": [end, vocab[end]],
            "cls": [start, vocab[start]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": end,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def siglip() -> Definition:
    """Lower case without punctuation, unknown characters as bytes, and an end but no start."""
    pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], *([f"<0x{byte:02X}>", 0.0] for byte in range(256))]
    pieces += [["▁", -2.5], *([letter, -5.0 - index / 7] for index, letter in enumerate(string.ascii_lowercase))]
    pieces += [[f"▁{word}", -6.25 - index / 3] for index, word in enumerate(["hello", "world", "the", "дом"])]
    pieces += [["ll", -4.1], ["aa", -4.25], ["▁a", -3.75]]
    text, end = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added({"</s>": 1, "<unk>": 2}, lstrip=True, rstrip=True),
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Lowercase"},
                replace(SIGLIP_PUNCTUATION, ""),
                replace(SIGLIP_SPACE, " "),
                {"type": "NFKC"},
                replace(" {2,}", " "),
                {"type": "Strip", "strip_left": True, "strip_right": True},
                {"type": "Prepend", "prepend": "▁"},
            ],
        },
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [text, end],
            "pair": [text, end, {"Sequence": {"id": "B", "type_id": 0}}, end],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True},
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": True},
    }


def gemma() -> Definition:
    """A whole text as one piece, with more merges than tokens, and a token of line feeds."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\n\n"]
    pieces = ["▁", *string.ascii_lowercase, "H", "he", "ll", "hel", "hell", "hello", "▁hello", "th", "▁the", "▁▁", "aa"]
    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces, "the"]
    merges = [[piece[:cut], piece[cut:]] for piece in [*pieces, "the"] for cut in range(1, len(piece))]
    merges = [pair for pair in merges if pair[0] in tokens and pair[1] in tokens]
    vocab = {token: index for index, token in enumerate(tokens)}
    text, end = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            *added({token: vocab[token] for token in specials[:-1]}),
            *added({"\n\n": vocab["\n\n"]}, special=False),
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [text, end],
            "pair": [text, end, {"Sequence": {"id": "B", "type_id": 0}}, end],
            "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
        },
        "decoder": {"type": "ByteFallback"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def replace(regex: str, content: str) -> Definition:
    return {"type": "Replace", "pattern": {"Regex": regex}, "content": content}


FAMILIES = {
    "word_piece": word_piece,
    "unigram": unigram,
    "byte_level_bpe": byte_level_bpe,
    "clip": clip,
    "siglip": siglip,
    "gemma": gemma,
}


def vocabulary(definition: Definition) -> int:
    return len(definition["model"]["vocab"])


def as_bytes(definition: Definition) -> bytes:
    return json.dumps(definition, ensure_ascii=False).encode("utf-8")
