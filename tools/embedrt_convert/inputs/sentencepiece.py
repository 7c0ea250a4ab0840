"""Reads a sentencepiece model (spiece.model): the few fields of its protocol buffer that say how it tokenises."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from embedrt_convert.errors import ConversionError

# SentencePiece.Type
NORMAL = 1
UNKNOWN = 2
CONTROL = 3
USER_DEFINED = 4
# TrainerSpec.ModelType
_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass
class Piece:
    text: str = ""
    score: float = 0.0
    kind: int = NORMAL


@dataclass
class SentencePieceModel:
    """A model's pieces in the order of their ids, and what it does to a text before it looks for them."""

    pieces: list[Piece] = field(default_factory=list)
    model_type: str = "unigram"
    byte_fallback: bool = False
    space_as_suffix: bool = False
    normalization: str = ""
    charsmap: bytes = b""
    remove_extra_spaces: bool = True
    escape_spaces: bool = True


def read(data: bytes, where: str) -> SentencePieceModel:
    """Parse a model. Raises ConversionError for what is not one."""
    model = SentencePieceModel()
    try:
        for number, value in _fields(data):
            if number == 1:
                model.pieces.append(_piece(_message(value)))
            elif number == 2:
                _trainer(model, _message(value))
            elif number == 3:
                _normalizer(model, _message(value))
    except (ValueError, struct.error) as error:
        raise ConversionError(f"{where} is not a sentencepiece model: {error}") from None
    if not model.pieces:
        raise ConversionError(f"{where} is not a sentencepiece model: it has no pieces")
    return model


def _piece(data: bytes) -> Piece:
    piece = Piece()
    for number, value in _fields(data):
        if number == 1:
            piece.text = _message(value).decode("utf-8")
        elif number == 2:
            (piece.score,) = struct.unpack("<f", _message(value))
        elif number == 3:
            piece.kind = _number(value)
    return piece


def _trainer(model: SentencePieceModel, data: bytes) -> None:
    for number, value in _fields(data):
        if number == 3:
            model.model_type = _MODEL_TYPES.get(_number(value), "unknown")
        elif number == 24:
            model.space_as_suffix = bool(_number(value))
        elif number == 35:
            model.byte_fallback = bool(_number(value))


def _normalizer(model: SentencePieceModel, data: bytes) -> None:
    for number, value in _fields(data):
        if number == 1:
            model.normalization = _message(value).decode("utf-8")
        elif number == 2:
            model.charsmap = _message(value)
        elif number == 4:
            model.remove_extra_spaces = bool(_number(value))
        elif number == 5:
            model.escape_spaces = bool(_number(value))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number with its value: an integer, or the bytes of a string, message or float."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if size > len(data) - at:
            raise ValueError(f"a field of {size} bytes at byte {at} of {len(data)}")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than 10 bytes before byte {at}")


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where a number belongs")
    return value
