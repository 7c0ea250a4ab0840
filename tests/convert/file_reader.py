"""A second reader of `.embedrt` files, written from docs/format.md alone: plain struct calls, naive loops."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

KINDS = dict(enumerate(("program", "text", "tokenizer", "image", "about", "report", "golden", "tensors"), 1))
LAYOUTS = {1: "vector_f32", 2: "vector_i32", 3: "matrix_f32", 4: "table_i8", 5: "panel_i8", 6: "panel_f32"}


@dataclass
class Cursor:
    data: bytes
    at: int = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def str8(self) -> str:
        (length,) = self.take("B")
        assert 1 <= length <= 255
        self.at += length
        return self.data[self.at - length : self.at].decode("ascii")


@dataclass
class File:
    version: int
    revision: int
    digest: bytes
    sections: dict[str, bytes]
    vocabulary: int = 0
    max_tokens: int = 0
    image_size: tuple[int, int] = (0, 0)
    ops: dict[int, tuple[str, list[str]]] = field(default_factory=dict)  # id -> name, attribute names
    tensors: list[tuple[str, str, np.ndarray]] = field(default_factory=list)  # name, layout, values
    instructions: list[tuple[str, list[int], list[int], dict[str, int]]] = field(default_factory=list)
    outputs: dict[str, int] = field(default_factory=dict)


def read(data: bytes) -> File:
    """Parses and checks everything that a reader must check; AssertionError where the file is not as specified."""
    cursor = Cursor(data)
    magic, version, revision, size, count, zero, digest = cursor.take("8sIIQII32s")
    assert magic == b"EMBEDRT\0" and zero == 0 and 2 <= count <= 16
    assert size == len(data) and size % 64 == 0
    entries = [cursor.take("IIQQQ") for _ in range(count)]
    (checksum,) = cursor.take("Q")
    assert checksum == xxhash.xxh64_intdigest(data[: cursor.at - 8])
    assert [kind for kind, *_ in entries] == sorted({kind for kind, *_ in entries})
    assert entries[0][0] == 1 and entries[-1][0] == 8

    sections, content_digest = {}, hashlib.sha256()
    for kind, zero, offset, length, checksum in entries:
        assert zero == 0 and offset % 64 == 0 and offset >= cursor.at
        assert not any(data[cursor.at : offset])
        content = data[offset : offset + length]
        assert len(content) == length and xxhash.xxh64_intdigest(content) == checksum
        sections[KINDS[kind]] = content
        if kind in (1, 2, 3, 4, 8):
            content_digest.update(struct.pack("<IQ", kind, length) + hashlib.sha256(content).digest())
        cursor.at = offset + length
    assert len(data) - cursor.at >= 1024 and not any(data[cursor.at :])
    assert content_digest.digest() == digest

    file = File(version, revision, digest, sections)
    _read_program(file)
    return file


def _read_program(file: File) -> None:
    cursor = Cursor(file.sections["program"])
    ops, tensors, instructions, outputs, file.vocabulary, file.max_tokens, *size = cursor.take("8I")
    file.image_size = (size[0], size[1])
    for _ in range(ops):
        number, attributes = cursor.take("HB")
        name = cursor.str8()
        file.ops[number] = (name, [cursor.str8() for _ in range(attributes)])
    for _ in range(tensors):
        layout, rows, columns, offset, size = cursor.take("BIIQQ")
        assert offset % 64 == 0
        packed = file.sections["tensors"][offset : offset + size]
        assert len(packed) == size
        file.tensors.append((cursor.str8(), LAYOUTS[layout], unpack(LAYOUTS[layout], rows, columns, packed)))
    for _ in range(instructions):
        number, inputs, roles = cursor.take("HBB")
        name, attributes = file.ops[number]
        values, used = list(cursor.take(f"{inputs}H")), list(cursor.take(f"{roles}H"))
        file.instructions.append(
            (name, values, used, dict(zip(attributes, cursor.take(f"{len(attributes)}I"), strict=True)))
        )
    for _ in range(outputs):
        name = cursor.str8()
        (file.outputs[name],) = cursor.take("H")
    assert cursor.at == len(cursor.data)


def unpack(layout: str, rows: int, columns: int, packed: bytes) -> np.ndarray:
    """The logical tensor [rows, columns], element by element; asserts that everything else is zero."""

    def padded(n: int, m: int) -> int:
        return -(-n // m) * m

    kind = {"f32": "<f4", "i32": "<i4", "_i8": "i1"}[layout[-3:]]
    flat = np.frombuffer(packed, kind)
    seen = np.zeros(len(flat), bool)
    out = np.zeros((rows, columns), kind)
    for r in range(rows):
        for c in range(columns):
            if layout == "panel_i8":
                at = ((r // 16 * (padded(columns, 4) // 4) + c // 4) * 16 + r % 16) * 4 + c % 4
            elif layout == "panel_f32":
                at = (r // 16 * columns + c) * 16 + r % 16
            else:
                at = r * padded(columns, 64 if layout == "table_i8" else 16) + c
            out[r, c] = flat[at]
            seen[at] = True
    assert not flat[~seen].any()
    return out
