"""The models that a tokenizer section may hold, checked and rebuilt: WordPiece, Unigram, BPE, WordLevel.

Vocabularies are checked as a whole, with the standard library's C loops: a model has up to some hundred thousand
pieces and loading is counted in milliseconds.
"""

from __future__ import annotations

import operator
from typing import Any

from embedrt._errors import FormatError
from embedrt._json import Fields, JsonObject, check_encodable, checked_integer, checked_number

MAX_TOKENS = 1 << 20  # entries of a vocabulary; the largest in use have some 900,000
MAX_MERGES = 1 << 20  # more than tokens, where they come from sentencepiece; the largest in use have some 580,000
MAX_PIECE = 512  # characters
MAX_AFFIX = 16  # characters of a prefix or suffix of subwords
MAX_SCORE = 1e9
# WordPiece tries every end for every start of a word: its work grows with the square of this.
MAX_WORD = 256


def rebuild(value: Any, where: str, vocabulary: int) -> tuple[JsonObject, dict[str, int]]:
    """Check a model against a program of `vocabulary` ids and rebuild it; also every token with its id.

    Raises FormatError.
    """
    fields = Fields(value, where)
    # Files from before 0.10 of the library leave out WordPiece's type.
    kind = fields.choice("type", ("WordPiece", "Unigram", "BPE", "WordLevel"), default=_untyped(value))
    part: JsonObject = {"type": kind}
    if kind == "Unigram":
        part["vocab"] = pieces = fields.list("vocab", min(vocabulary, MAX_TOKENS))
        tokens = _check_pieces(pieces, f"{where}.vocab")
        part["unk_id"] = fields.integer("unk_id", 0, len(pieces) - 1)
        part["byte_fallback"] = fields.flag("byte_fallback", default=False)
        fields.done()
        return part, tokens
    part["vocab"] = vocab = fields.raw("vocab")
    _check_vocab(vocab, f"{where}.vocab", vocabulary)
    if kind == "WordPiece":
        part["continuing_subword_prefix"] = fields.text("continuing_subword_prefix", MAX_AFFIX)
        part["max_input_chars_per_word"] = fields.integer("max_input_chars_per_word", 1, MAX_WORD)
    elif kind == "BPE":
        _rebuild_bpe(fields, part, vocab)
    if kind == "BPE" and fields.optional("unk_token") is None:
        part["unk_token"] = None
    else:
        part["unk_token"] = _known(value["unk_token"] if kind == "BPE" else fields.raw("unk_token"), vocab, where)
    fields.done()
    return part, vocab


def build(model: JsonObject) -> Any:
    """The library's model of a rebuilt one: half the time and memory of having the library read the JSON again."""
    from tokenizers import models

    settings = {name: value for name, value in model.items() if name != "type" and value is not None}
    for name, value in settings.items():
        if isinstance(value, list):  # pieces with their scores, merges
            settings[name] = list(map(tuple, value))
    return getattr(models, model["type"])(**settings)


_BPE_FLAGS = ("fuse_unk", "byte_fallback", "ignore_merges")


def _rebuild_bpe(fields: Fields, part: JsonObject, vocab: dict[str, int]) -> None:
    where = fields.where
    if fields.optional("dropout"):
        raise FormatError(f"{where}.dropout: the same text would give different tokens")
    # The library cuts this prefix from the second half of each merge without checking that it is there.
    if fields.optional("continuing_subword_prefix"):
        raise FormatError(f"{where}.continuing_subword_prefix: not supported for BPE")
    suffix = fields.optional("end_of_word_suffix")
    if suffix is not None and not (isinstance(suffix, str) and len(suffix) <= MAX_AFFIX):
        raise FormatError(f"{where}.end_of_word_suffix: expected null or at most {MAX_AFFIX} characters")
    part["dropout"] = None
    part["continuing_subword_prefix"] = None
    part["end_of_word_suffix"] = suffix or None
    for name in _BPE_FLAGS:
        part[name] = fields.flag(name, default=False)
    # Files from before 0.20 of the library write a merge as one string with a space.
    merges = [item.split(" ") if isinstance(item, str) else item for item in fields.list("merges", MAX_MERGES)]
    if not _are_known(merges, vocab):
        _refuse_merges(merges, vocab, where)
    part["merges"] = merges


def _are_known(merges: list[Any], vocab: dict[str, int]) -> bool:
    if not set(map(type, merges)) <= {list} or not set(map(len, merges)) <= {2}:
        return False
    first, second = (list(map(operator.itemgetter(side), merges)) for side in (0, 1))
    if not set(map(type, first)) | set(map(type, second)) <= {str}:
        return False
    return vocab.keys() >= {*first, *second, *map(operator.add, first, second)}


def _refuse_merges(merges: list[Any], vocab: dict[str, int], where: str) -> None:
    """Say which is the first that is not known."""
    for index, pair in enumerate(merges):
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
            raise FormatError(f"{where}.merges[{index}]: expected two tokens")
        if not (pair[0] in vocab and pair[1] in vocab and pair[0] + pair[1] in vocab):
            raise FormatError(f"{where}.merges[{index}]: its two tokens or their union are not in the vocabulary")


def _untyped(value: JsonObject) -> str | None:
    return "WordPiece" if "max_input_chars_per_word" in value else None


def _known(token: Any, vocab: dict[str, int], where: str) -> str:
    if not isinstance(token, str) or token not in vocab:
        raise FormatError(f"{where}.unk_token: {str(token)[:60]!r} is not in the vocabulary")
    return token


def _check_vocab(vocab: Any, where: str, vocabulary: int) -> None:
    if not isinstance(vocab, dict) or not 0 < len(vocab) <= MAX_TOKENS:
        raise FormatError(f"{where}: expected an object of 1 to {MAX_TOKENS} tokens and their ids")
    ids = list(vocab.values())
    if set(map(type, ids)) != {int} or min(ids) < 0 or max(ids) >= vocabulary:
        for token, index in vocab.items():
            checked_integer(index, f"{where}[{token[:60]!r}]", 0, vocabulary - 1)
    if len(set(ids)) != len(ids):
        raise FormatError(f"{where}: two tokens have the same id")
    _check_tokens(vocab, where)


def _check_pieces(pieces: list[Any], where: str) -> dict[str, int]:
    """Each piece with its id, which is its place."""
    if not pieces:
        raise FormatError(f"{where}: empty")
    if set(map(type, pieces)) != {list} or set(map(len, pieces)) != {2}:
        raise FormatError(f"{where}: expected a list of [piece, score]")
    names = list(map(operator.itemgetter(0), pieces))
    scores = list(map(operator.itemgetter(1), pieces))
    if set(map(type, names)) != {str}:
        raise FormatError(f"{where}: a piece is not a string")
    if not set(map(type, scores)) <= {int, float} or not max(map(abs, scores)) <= MAX_SCORE:
        for index, score in enumerate(scores):
            checked_number(score, f"{where}[{index}]", MAX_SCORE)
    tokens = dict(zip(names, range(len(names)), strict=True))
    if len(tokens) != len(names):
        raise FormatError(f"{where}: a piece occurs twice")
    _check_tokens(names, where)
    return tokens


def _check_tokens(names: Any, where: str) -> None:
    lengths = set(map(len, names))
    if min(lengths) < 1 or max(lengths) > MAX_PIECE:
        raise FormatError(f"{where}: a token is empty or longer than {MAX_PIECE} characters")
    check_encodable("".join(names), where)
