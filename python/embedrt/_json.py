"""Strict JSON for the sections of a model file: untrusted, so nothing about it is taken on faith."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from embedrt._errors import FormatError

JsonObject = dict[str, Any]


def load_object(text: bytes, where: str, max_depth: int | None = None) -> JsonObject:
    """Parse a UTF-8 JSON object; refuse duplicate keys, NaN, infinities and, when given, nesting beyond `max_depth`.

    `where` names the section in the message. Raises FormatError.
    """

    def unique(pairs: list[tuple[str, Any]]) -> JsonObject:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FormatError(f"{where}: the key {twice!r} occurs twice in one object")
        return result

    def constant(name: str) -> NoReturn:
        raise FormatError(f"{where}: {name} is not JSON")

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise FormatError(f"{where}: nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, or an integer of too many digits
        raise FormatError(f"{where}: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{where}: the JSON value is a {type(value).__name__}, not an object")
    if max_depth is not None:
        _check_depth(value, where, max_depth)
    return value


def _check_depth(value: Any, where: str, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    if any(isinstance(item, (dict, list)) for item in level):
        raise FormatError(f"{where}: nested more than {max_depth} deep")


class Fields:
    """Typed reading of one JSON object: every key is asked for once, and what is left over is refused."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"{where}: expected an object, found {_kind(value)}")
        self.where = where
        self._left = dict(value)

    def raw(self, name: str) -> Any:
        """The value as parsed; the caller checks it."""
        if name not in self._left:
            raise FormatError(f"{self.where}: {name!r} is missing")
        return self._left.pop(name)

    def optional(self, name: str, default: Any = None) -> Any:
        return self._left.pop(name, default)

    def text(self, name: str, longest: int, shortest: int = 0) -> str:
        return checked_text(self.raw(name), f"{self.where}.{name}", longest, shortest)

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self.raw(name) if default is None else self.optional(name, default)
        if not isinstance(value, bool):
            raise FormatError(f"{self.where}.{name}: expected true or false, found {_kind(value)}")
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int:
        return checked_integer(self.raw(name), f"{self.where}.{name}", lowest, highest)

    def choice(self, name: str, among: tuple[str, ...], default: str | None = None) -> str:
        value = self.raw(name) if default is None else self.optional(name, default)
        if not isinstance(value, str) or value not in among:
            raise FormatError(f"{self.where}.{name}: {_kind(value)} is not one of {', '.join(among)}")
        return value

    def list(self, name: str, most: int, default: list[Any] | None = None) -> list[Any]:
        value = self.raw(name) if default is None else self.optional(name, default)
        if not isinstance(value, list):
            raise FormatError(f"{self.where}.{name}: expected a list, found {_kind(value)}")
        if len(value) > most:
            raise FormatError(f"{self.where}.{name}: {len(value)} items, at most {most} are accepted")
        return value

    def done(self) -> None:
        if self._left:
            raise FormatError(f"{self.where}: unknown key {sorted(self._left)[0]!r}")


def checked_text(value: Any, where: str, longest: int, shortest: int = 0) -> str:
    """A string of `shortest` to `longest` characters that UTF-8 can hold."""
    if not isinstance(value, str):
        raise FormatError(f"{where}: expected a string, found {_kind(value)}")
    if not shortest <= len(value) <= longest:
        raise FormatError(f"{where}: {len(value)} characters, accepted are {shortest} to {longest}")
    check_encodable(value, where)
    return value


def check_encodable(value: str, where: str) -> None:
    """Refuse lone surrogates: JSON can spell them, UTF-8 and the tokenizers library cannot."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError(f"{where}: a lone surrogate, which UTF-8 cannot hold") from None


def checked_integer(value: Any, where: str, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FormatError(f"{where}: expected an integer, found {_kind(value)}")
    if not lowest <= value <= highest:
        raise FormatError(f"{where}: {value} is not within {lowest} to {highest}")
    return value


def checked_number(value: Any, where: str, largest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{where}: expected a number, found {_kind(value)}")
    if abs(value) > largest or not math.isfinite(value):
        raise FormatError(f"{where}: {value} is not within ±{largest:g}")
    return float(value)


def _kind(value: Any) -> str:
    shown = repr(value) if not isinstance(value, (dict, list)) else ""
    return f"{type(value).__name__} {shown[:60]}".rstrip()
