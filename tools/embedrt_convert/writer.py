"""Writes a program and its JSON sections as one `.embedrt` file, byte for byte as docs/format.md says."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedrt import _core
from embedrt_convert.builder import Program, Tensor
from embedrt_convert.errors import ConversionError
from embedrt_convert.optable import Attribute, op_table
from embedrt_convert.pack import layout_id, pack

MAGIC = b"EMBEDRT\0"
PROGRAM, TEXT, TOKENIZER, IMAGE, ABOUT, REPORT, GOLDEN, TENSORS = range(1, 9)
_DECIDE_VECTORS = (PROGRAM, TEXT, TOKENIZER, IMAGE, TENSORS)
_HEADER = struct.Struct("<8sIIQII32s")
_ENTRY = struct.Struct("<IIQQQ")
_ALIGNMENT = 64
_TAIL = 1024  # zero bytes after the last tensor: kernels read whole vectors past its end
_NO_TENSOR = 0xFFFF


@dataclass(frozen=True)
class Section:
    """A section's content and its hashes, computed once: the bulk goes into two files, with and without a report."""

    kind: int
    content: bytes
    xxh64: int
    sha256: bytes


def section(kind: int, content: bytes) -> Section:
    return Section(kind, content, _core.xxh64(content), hashlib.sha256(content).digest())


def json_section(kind: int, value: Mapping[str, Any]) -> Section:
    return section(kind, encode_json(value))


def encode_json(value: Mapping[str, Any]) -> bytes:
    """UTF-8 JSON with sorted keys: the same value gives the same bytes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


@dataclass(frozen=True)
class Packed:
    """The tensors section, and where each of its tensors lies: (tensor, offset, size) by the tensor's id."""

    places: Mapping[int, tuple[Tensor, int, int]]
    section: Section


def program_sections(program: Program) -> tuple[Section, Section]:
    """The program section and the tensors section."""
    packed = pack_tensors(program)
    return program_section(program, packed), packed.section


def pack_tensors(program: Program) -> Packed:
    """The tensors of the program, packed."""
    places: dict[int, tuple[Tensor, int, int]] = {}
    pieces: list[bytes | memoryview] = []
    position = 0
    for tensor in program.tensors():
        packed = pack(tensor.layout, tensor.data)
        offset = _align(position)
        pieces += [bytes(offset - position), packed.data]
        places[id(tensor)] = (tensor, offset, packed.size)
        position = offset + packed.size
    return Packed(places, section(TENSORS, b"".join(pieces)))


def program_section(program: Program, packed: Packed) -> Section:
    """The program section, for tensors that are among those packed."""
    return section(PROGRAM, _program(program, [packed.places[id(tensor)] for tensor in program.tensors()]))


def in_memory(sections: list[Section]) -> bytes:
    """The file's bytes."""
    return b"".join(_pieces(sorted(sections, key=lambda each: each.kind)))


def write(path: pathlib.Path, sections: list[Section]) -> None:
    """Write the file under a temporary name beside `path`, then rename it into place.

    Raises OSError, and ConversionError where the system does not let a file that is in use be replaced.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            for piece in _pieces(sorted(sections, key=lambda each: each.kind)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary: pathlib.Path, path: pathlib.Path) -> None:
    try:
        temporary.replace(path)
    except PermissionError as error:
        # Windows replaces no file that is mapped.
        raise ConversionError(
            f"{path} cannot be replaced ({error.strerror}): end what has it loaded, or write to another name"
        ) from None


def _align(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _pieces(sections: list[Section]) -> list[bytes]:
    """The file in order: header, table, its checksum, then each section with the zeros before it."""
    position = _HEADER.size + _ENTRY.size * len(sections) + 8
    offsets = []
    for each in sections:
        offsets.append(_align(position))
        position = offsets[-1] + len(each.content)
    size = _align(position + _TAIL)
    header = _HEADER.pack(
        MAGIC, _core.FORMAT_VERSION, _core.NUMERICS_REVISION, size, len(sections), 0, _content_digest(sections)
    )
    for each, offset in zip(sections, offsets, strict=True):
        header += _ENTRY.pack(each.kind, 0, offset, len(each.content), each.xxh64)
    header += struct.pack("<Q", _core.xxh64(header))

    pieces = [header]
    position = len(header)
    for each, offset in zip(sections, offsets, strict=True):
        pieces += [bytes(offset - position), each.content]
        position = offset + len(each.content)
    pieces.append(bytes(size - position))
    return pieces


def _content_digest(sections: list[Section]) -> bytes:
    digest = hashlib.sha256()
    for each in sections:
        if each.kind in _DECIDE_VECTORS:
            digest.update(struct.pack("<IQ", each.kind, len(each.content)) + each.sha256)
    return digest.digest()


def _str8(text: str) -> bytes:
    encoded = text.encode("ascii")
    return struct.pack("<B", len(encoded)) + encoded


def _listed(program: Program, op: str) -> Sequence[Attribute]:
    """The op's attributes up to the last that is not its default anywhere: older runtimes need not know later ones."""
    attributes = op_table()[op].attributes
    used = [
        index
        for instruction in program.instructions
        if instruction.op == op
        for index, attribute in enumerate(attributes)
        if attribute.word(instruction.attributes[attribute.name]) != attribute.word(attribute.default)
    ]
    return attributes[: max(used, default=-1) + 1]


def _program(program: Program, tensors: list[tuple[Tensor, int, int]]) -> bytes:
    table = op_table()
    ops = sorted({instruction.op for instruction in program.instructions}, key=lambda name: table[name].id)
    out = [
        struct.pack(
            "<8I",
            len(ops),
            len(tensors),
            len(program.instructions),
            len(program.outputs),
            program.vocabulary,
            program.max_tokens,
            *program.image_size,
        )
    ]
    listed = {name: _listed(program, name) for name in ops}
    for name in ops:
        out.append(struct.pack("<HB", table[name].id, len(listed[name])) + _str8(name))
        out += [_str8(attribute.name) for attribute in listed[name]]
    for tensor, offset, size in tensors:
        rows, columns = np.atleast_2d(tensor.data).shape
        out.append(struct.pack("<BIIQQ", layout_id(tensor.layout), rows, columns, offset, size) + _str8(tensor.name))
    numbers = {id(tensor): number for number, (tensor, _, _) in enumerate(tensors)}
    for instruction in program.instructions:
        spec = table[instruction.op]
        roles = [instruction.tensors.get(role) for role in spec.tensor_roles]
        out.append(struct.pack("<HBB", spec.id, len(instruction.inputs), len(roles)))
        out.append(struct.pack(f"<{len(instruction.inputs)}H", *instruction.inputs))
        out += [struct.pack("<H", _NO_TENSOR if role is None else numbers[id(role)]) for role in roles]
        words = [attribute.word(instruction.attributes[attribute.name]) for attribute in listed[instruction.op]]
        out.append(struct.pack(f"<{len(words)}I", *words))
    for name, value in program.outputs.items():
        out.append(_str8(name) + struct.pack("<H", value))
    return b"".join(out)
