"""The op table, as the core states it. Python never retypes an op's id, attribute order or choices."""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Any

from embedrt import _core

# A u32, an f32 (already rounded to binary32) or the name of a choice.
AttributeValue = int | float | str


@dataclass(frozen=True)
class Attribute:
    """One attribute word of an op."""

    name: str
    type: str
    default: AttributeValue
    choices: tuple[str, ...]

    def canonical(self, value: AttributeValue) -> AttributeValue:
        """The value as the file holds it: an f32 rounded to binary32, a choice known by name. Raises ValueError."""
        if self.type == "choice":
            if value not in self.choices:
                raise ValueError(f"{self.name} is {value!r}; choices: {', '.join(self.choices)}")
            return value
        if isinstance(value, str):
            raise ValueError(f"{self.name} is {value!r}, which is not a number")
        if self.type == "f32":
            rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
            return rounded
        return int(value)

    def word(self, value: AttributeValue) -> int:
        """The u32 word of a canonical value."""
        if isinstance(value, str):
            return self.choices.index(value)
        if self.type == "f32":
            word: int = struct.unpack("<I", struct.pack("<f", value))[0]
            return word
        return int(value)


@dataclass(frozen=True)
class OpSpec:
    """What the core says about one op."""

    id: int
    name: str
    attributes: tuple[Attribute, ...]
    tensor_roles: tuple[str, ...]
    min_inputs: int
    max_inputs: int


def _attribute(entry: dict[str, Any]) -> Attribute:
    choices = tuple(entry.get("choices") or ())
    default = choices[entry["default"]] if entry["type"] == "choice" else entry["default"]
    return Attribute(entry["name"], entry["type"], default, choices)


@functools.cache
def op_table() -> dict[str, OpSpec]:
    """Every op of the core, by name."""
    return {
        entry["name"]: OpSpec(
            id=entry["id"],
            name=entry["name"],
            attributes=tuple(_attribute(attribute) for attribute in entry["attributes"]),
            tensor_roles=tuple(entry["tensor_roles"]),
            min_inputs=entry["min_inputs"],
            max_inputs=entry["max_inputs"],
        )
        for entry in _core.ops()
    }
