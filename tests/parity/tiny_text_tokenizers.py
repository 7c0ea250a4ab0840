"""Small trained tokenizers of each kind that text encoders have, as transformers' classes hold and store them."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

from hostile_texts import BLOCKS
from sentencepiece import SentencePieceTrainer
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from embedrt._tokenizer_parts import SPLIT_PATTERNS
from embedrt_convert.golden import TEXTS
from embedrt_convert.inputs import sentencepiece

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def corpus(blocks: int) -> list[str]:
    """Words of the golden texts in random order, with capitals and accents, and characters of the first blocks."""
    words = [word for text in TEXTS for word in text.split()]
    rng = random.Random(0)
    lines = [" ".join(rng.choices(words, k=12)) for _ in range(1500)]
    return lines + [block[at : at + 8] for block in BLOCKS[:blocks] for at in range(0, len(block), 8)]


def word_piece(special: list[str], lowercase: bool) -> dict[str, int]:
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(corpus(60), trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special))
    return trained.get_vocab()


def byte_level(special: list[str], split: str | None = None) -> tuple[dict[str, int], list[tuple[str, str]]]:
    trained = Tokenizer(models.BPE())
    parts = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)]
    if split is not None:
        parts.insert(0, pre_tokenizers.Split(Regex(split), "isolated"))
    trained.pre_tokenizer = pre_tokenizers.Sequence(parts)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=letters, special_tokens=special)
    trained.train_from_iterator(corpus(60), trainer)
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


def write_byte_level(folder: Path, vocab: dict[str, int], merges: list[tuple[str, str]], **settings: object) -> None:
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def sentence_piece(folder: Path, name: str, kind: str, **options: object) -> None:
    SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(5)),
        model_prefix=str(folder / "m"),
        vocab_size=2200,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    (folder / "m.model").rename(folder / name)
    (folder / "m.vocab").unlink()


def _write_settings(folder: Path, kind: str, **settings: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, **settings}))


def bert_uncased(folder: Path) -> None:
    _vocab_txt(folder, word_piece(BERT, True))
    _write_settings(folder, "BertTokenizer")


def bert_cased(folder: Path) -> None:
    _vocab_txt(folder, word_piece(BERT, False))
    _write_settings(folder, "BertTokenizer", do_lower_case=False)


def bert_multilingual(folder: Path) -> None:
    """Accents kept in lower case, no spaces around ideographs, a mask that is written otherwise."""
    vocab = word_piece([*BERT[:4], "<mask>"], True)
    _vocab_txt(folder, vocab)
    names = {"strip_accents": False, "tokenize_chinese_chars": False, "mask_token": "<mask>"}
    _write_settings(folder, "BertTokenizer", **names)


def distilbert(folder: Path) -> None:
    _vocab_txt(folder, word_piece(BERT, True))
    _write_settings(folder, "DistilBertTokenizer")


def electra(folder: Path) -> None:
    _vocab_txt(folder, word_piece(BERT, True))
    _write_settings(folder, "ElectraTokenizer")


def mpnet(folder: Path) -> None:
    _vocab_txt(folder, word_piece(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], True))
    _write_settings(folder, "MPNetTokenizer")


def roberta(folder: Path) -> None:
    vocab, merges = byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    mask["__type"] = "AddedToken"
    write_byte_level(folder, vocab, merges, tokenizer_class="RobertaTokenizer", mask_token=mask)


def roberta_space(folder: Path) -> None:
    vocab, merges = byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    write_byte_level(folder, vocab, merges, tokenizer_class="RobertaTokenizer", add_prefix_space=True)


def qwen2(folder: Path) -> None:
    """Special tokens behind the vocabulary."""
    vocab, merges = byte_level([], SPLIT_PATTERNS["qwen2"])
    listed = {
        str(len(vocab) + index): {"content": name, "special": True, "normalized": False, "lstrip": False}
        for index, name in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    }
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "added_tokens_decoder": listed}
    write_byte_level(folder, vocab, merges, tokenizer_class="Qwen2Tokenizer", **names)


def xlm_roberta(folder: Path) -> None:
    sentence_piece(folder, "sentencepiece.bpe.model", "unigram")
    _write_settings(folder, "XLMRobertaTokenizer")


def camembert(folder: Path) -> None:
    sentence_piece(folder, "sentencepiece.bpe.model", "unigram")
    _write_settings(folder, "CamembertTokenizer")


def albert(folder: Path) -> None:
    names = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
    sentence_piece(folder, "spiece.model", "unigram", **names, control_symbols="[CLS],[SEP],[MASK]")
    _write_settings(folder, "AlbertTokenizer")


def albert_accents(folder: Path) -> None:
    names = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
    sentence_piece(folder, "spiece.model", "unigram", **names, control_symbols="[CLS],[SEP],[MASK]")
    _write_settings(folder, "AlbertTokenizer", do_lower_case=False, keep_accents=True)


def t5(folder: Path) -> None:
    sentence_piece(folder, "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    _write_settings(folder, "T5Tokenizer")


def mt5(folder: Path) -> None:
    """No sentinels; pieces of bytes, which transformers does not use."""
    sentence_piece(folder, "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=True)
    _write_settings(folder, "T5Tokenizer", extra_ids=0)


def gemma(folder: Path) -> None:
    names = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "pad_piece": "<pad>", "eos_piece": "<eos>"}
    options = {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "normalization_rule_name": "identity"}
    symbols = {"user_defined_symbols": "<mask>,\n,\n\n,▁▁,▁▁▁,<table>", "control_symbols": "<start_of_turn>"}
    sentence_piece(
        folder, "tokenizer.model", "bpe", **names, bos_piece="<bos>", byte_fallback=True, **options, **symbols
    )
    _write_settings(folder, "GemmaTokenizer", add_bos_token=True, add_eos_token=True)


def llama(folder: Path) -> None:
    options = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    sentence_piece(folder, "tokenizer.model", "bpe", byte_fallback=True, **options)
    _write_settings(folder, "LlamaTokenizer", add_bos_token=True, add_eos_token=False, legacy=True)


# Writers of the files that a class of its own reads.
SLOW = {
    "bert_uncased": bert_uncased,
    "bert_cased": bert_cased,
    "bert_multilingual": bert_multilingual,
    "distilbert": distilbert,
    "electra": electra,
    "mpnet": mpnet,
    "roberta": roberta,
    "roberta_space": roberta_space,
    "qwen2": qwen2,
    "xlm_roberta": xlm_roberta,
    "camembert": camembert,
    "albert": albert,
    "albert_accents": albert_accents,
    "t5": t5,
    "mt5": mt5,
    "gemma": gemma,
    "llama": llama,
}


def _vocab_txt(folder: Path, vocab: dict[str, int]) -> None:
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in sorted(vocab, key=vocab.__getitem__)))


def _save_json(folder: Path, definition: dict[str, object], **settings: object) -> None:
    empty = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "decoder": None}
    (folder / "tokenizer.json").write_text(json.dumps(empty | definition))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _added(ids: dict[str, int], **flags: bool) -> list[dict[str, object]]:
    common = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": index, "content": token, **common, **flags} for token, index in ids.items()]


def _template(first: tuple[str, int], last: tuple[str, int]) -> dict[str, object]:
    start, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name, _ in (first, last))
    one, two = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [start, one, end],
        "pair": [start, one, end, two, {"SpecialToken": {"id": last[0], "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [index], "tokens": [name]} for name, index in (first, last)},
    }


def modernbert(folder: Path) -> None:
    """OLMo's: composed characters, runs of spaces that are tokens, special tokens behind them."""
    vocab, merges = byte_level(["|||IP_ADDRESS|||", "<|padding|>"])
    size = len(vocab)
    runs = {" " * length: size + length - 2 for length in range(2, 25)}
    special = {name: size + 23 + index for index, name in enumerate(("[UNK]", "[CLS]", "[SEP]", "[PAD]"))}
    added = _added({"|||IP_ADDRESS|||": 0}, normalized=True, special=False) + _added({"<|padding|>": 1})
    added += _added(runs, normalized=True, special=False) + _added(special)
    byte_level_part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    definition = {
        "added_tokens": [*added, *_added({"[MASK]": size + 27}, lstrip=True)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": byte_level_part,
        "post_processor": _template(("[CLS]", special["[CLS]"]), ("[SEP]", special["[SEP]"])),
        "decoder": {**byte_level_part, "add_prefix_space": True},
        "model": {"type": "BPE", "unk_token": None, "vocab": vocab, "merges": merges, "byte_fallback": False},
    }
    names = ["input_ids", "attention_mask"]
    _save_json(folder, definition, tokenizer_class="PreTrainedTokenizerFast", model_input_names=names)


def llama3(folder: Path) -> None:
    """As EuroBERT has it: pieces of a pattern, words that are looked up whole."""
    vocab, merges = byte_level([], SPLIT_PATTERNS["cl100k"])
    special = {name: len(vocab) + index for index, name in enumerate(("<|begin_of_text|>", "<|end_of_text|>"))}
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS["cl100k"]}, "behavior": "Isolated", "invert": False}
    parts = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    ends = _template(*special.items())
    definition = {
        "added_tokens": _added(special),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, parts]},
        "post_processor": {"type": "Sequence", "processors": [{**parts, "trim_offsets": False}, ends]},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": True},
    }
    _save_json(folder, definition, tokenizer_class="PreTrainedTokenizerFast")


def qwen3_embedding(folder: Path) -> None:
    """Qwen2's with an end, which its own template adds."""
    vocab, merges = byte_level([], SPLIT_PATTERNS["qwen2"])
    special = {name: len(vocab) + index for index, name in enumerate(("<|endoftext|>", "<|im_end|>"))}
    split = {"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS["qwen2"]}, "behavior": "Isolated", "invert": False}
    parts = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    one, two = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    end = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [one, end],
        "pair": [one, end, two, end],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [len(vocab)], "tokens": ["<|endoftext|>"]}},
    }
    definition = {
        "added_tokens": _added(special),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, parts]},
        "post_processor": {"type": "Sequence", "processors": [parts, template]},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }
    _save_json(folder, definition, tokenizer_class="Qwen2Tokenizer", eos_token="<|im_end|>", pad_token="<|endoftext|>")


def multilingual(folder: Path) -> None:
    """XLM-R's in the layout of earlier converters: trailing white space off, several spaces as one mark."""
    sentence_piece(folder, "m.spm", "unigram")
    model = sentencepiece.read((folder / "m.spm").read_bytes(), "m.spm")
    (folder / "m.spm").unlink()
    charsmap = base64.b64encode(model.charsmap).decode()
    pieces = [[name, 0.0] for name in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces += [[piece.text, piece.score] for piece in model.pieces[3:]]
    pieces.append(["<mask>", 0.0])
    special = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    parts = [
        {"type": "Precompiled", "precompiled_charsmap": charsmap},
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    ]
    definition = {
        "added_tokens": _added(special) + _added({"<mask>": len(pieces) - 1}, lstrip=True),
        "normalizer": {"type": "Sequence", "normalizers": parts},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": _template(("<s>", 0), ("</s>", 2)),
        "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": False, "vocab": pieces},
    }
    _save_json(folder, definition, tokenizer_class="PreTrainedTokenizerFast")


# Writers of a tokenizer.json that no class makes anew.
FAST = {"modernbert": modernbert, "llama3": llama3, "qwen3_embedding": qwen3_embedding, "multilingual": multilingual}
