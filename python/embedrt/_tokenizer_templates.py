"""The post-processor of a tokenizer section: which ids stand around one text and around two, and offsets trimmed.

Any of the post-processors in use is read into a `Template`; its canonical form is the library's TemplateProcessing,
behind a ByteLevel where that trims white space off the tokens' offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from embedrt._errors import FormatError
from embedrt._json import Fields, JsonObject, checked_integer, checked_text

MAX_PIECES = 16
MAX_NAME = 256
MAX_TYPE = 15

Ids = tuple[int, ...]


class TypedId(NamedTuple):
    """A special token's id and its type."""

    id: int
    type: int


class PairTemplate(NamedTuple):
    """The special tokens before the first of two texts, between them and behind, and the types of the texts' own."""

    before: tuple[TypedId, ...]
    between: tuple[TypedId, ...]
    after: tuple[TypedId, ...]
    types: tuple[int, int]


class Template(NamedTuple):
    """The ids around a single text; around two, None where the tokenizer has no template for them.

    `trims` are the `add_prefix_space` of each step that takes white space off the tokens' offsets.
    """

    prefix: Ids = ()
    suffix: Ids = ()
    pair: PairTemplate | None = None
    trims: tuple[bool, ...] = ()

    def untyped(self) -> Template:
        """The same with type 0 for all tokens of a pair."""
        if self.pair is None:
            return self
        before, between, after = (tuple(TypedId(token.id, 0) for token in side) for side in self.pair[:3])
        return self._replace(pair=PairTemplate(before, between, after, (0, 0)))


def read_template(value: Any, where: str, vocabulary: int, depth: int = 1) -> Template:
    """Any of the post-processors in use. Raises FormatError."""
    if value is None:
        return Template()
    fields = Fields(value, where)
    kind = fields.text("type", 64)
    if kind == "ByteLevel":
        return Template(trims=_trims(fields))
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls, sep = (_token_id(fields, name, vocabulary) for name in ("cls", "sep"))
        if kind == "BertProcessing":
            pair = PairTemplate((TypedId(cls, 0),), (TypedId(sep, 0),), (TypedId(sep, 1),), (0, 1))
            return Template((cls,), (sep,), pair)
        first, last = TypedId(cls, 0), TypedId(sep, 0)
        return Template((cls,), (sep,), PairTemplate((first,), (last, last), (last,), (0, 0)), _trims(fields))
    if kind == "Sequence" and depth <= 4:
        found = [
            read_template(item, f"{where}.processors[{index}]", vocabulary, depth + 1)
            for index, item in enumerate(fields.list("processors", MAX_PIECES))
        ]
        adding = [each for each in found if each[:3] != Template()[:3]]
        if len(adding) > 1:
            raise FormatError(f"{where}: more than one of its processors adds tokens")
        trims = tuple(trim for each in found for trim in each.trims)
        return (adding[0] if adding else Template())._replace(trims=trims)
    if kind == "TemplateProcessing":
        return _template(fields, where, vocabulary)
    raise FormatError(f"{where}: the post-processor {kind!r} is not supported")


def write_template(template: Template, names: dict[int, str]) -> JsonObject | None:
    """The canonical post-processor; `names` are the added tokens by their ids."""
    parts: list[JsonObject] = [
        {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True}
        for space in template.trims
    ]
    prefix, suffix, pair, _ = template
    if prefix or suffix or pair:
        around = [TypedId(index, 0) for index in prefix], [TypedId(index, 0) for index in suffix]
        used = {*prefix, *suffix, *(token.id for side in (pair[:3] if pair else ()) for token in side)}
        tokens = {index: names.get(index, f"#{index}") for index in sorted(used)}
        parts.append(
            {
                "type": "TemplateProcessing",
                "single": _pieces(around, (0,), tokens),
                # Without a piece it stands for a pair that has no template.
                "pair": _pieces(pair[:3], pair.types, tokens) if pair else [],
                "special_tokens": {n: {"id": n, "ids": [index], "tokens": [n]} for index, n in tokens.items()},
            }
        )
    if len(parts) > 1:
        return {"type": "Sequence", "processors": parts}
    return parts[0] if parts else None


def _pieces(sides: Sequence[Sequence[TypedId]], types: Sequence[int], names: dict[int, str]) -> list[JsonObject]:
    """Special tokens, with a text between each two sides of them."""
    special = [[{"SpecialToken": {"id": names[t.id], "type_id": t.type}} for t in side] for side in sides]
    pieces: list[JsonObject] = [*special[0]]
    for name, kind, side in zip("AB", types, special[1:], strict=False):
        pieces += [{"Sequence": {"id": name, "type_id": kind}}, *side]
    return pieces


def _trims(fields: Fields) -> tuple[bool, ...]:
    add_prefix_space = fields.flag("add_prefix_space", default=True)
    return (add_prefix_space,) if fields.flag("trim_offsets", default=True) else ()


def _token_id(fields: Fields, name: str, vocabulary: int) -> int:
    pair = fields.list(name, 2)
    if len(pair) != 2:
        raise FormatError(f"{fields.where}.{name}: expected a token and its id")
    return checked_integer(pair[1], f"{fields.where}.{name}", 0, vocabulary - 1)


def _template(fields: Fields, where: str, vocabulary: int) -> Template:
    special = fields.raw("special_tokens")
    sides, texts = _sides(fields.list("single", MAX_PIECES), f"{where}.single", special, vocabulary)
    if [name for name, _ in texts] != ["A"]:
        raise FormatError(f"{where}.single: expected the text exactly once, found it {len(texts)} times")
    if any(texts[0][1:]) or any(token.type for side in sides for token in side):
        # A single text is run without types, which is to say with 0 for all.
        raise FormatError(f"{where}.single: a type_id other than 0 is not supported")
    prefix, suffix = (tuple(token.id for token in side) for side in sides)
    pair = fields.list("pair", MAX_PIECES, default=[])
    sides, texts = _sides(pair, f"{where}.pair", special, vocabulary)
    if [name for name, _ in texts] != ["A", "B"]:
        return Template(prefix, suffix)
    (_, first), (_, second) = texts
    return Template(prefix, suffix, PairTemplate(sides[0], sides[1], sides[2], (first, second)))


def _sides(
    pieces: list[Any], where: str, special: Any, vocabulary: int
) -> tuple[list[tuple[TypedId, ...]], list[tuple[str, int]]]:
    """The special tokens between the texts of a template, and each text's name and type."""
    sides: list[list[TypedId]] = [[]]
    texts = []
    for index, piece in enumerate(pieces):
        at = f"{where}[{index}]"
        item = Fields(piece, at)
        is_text = isinstance(piece, dict) and "Sequence" in piece
        inner = Fields(item.raw("Sequence" if is_text else "SpecialToken"), at)
        kind = inner.integer("type_id", 0, MAX_TYPE)
        if is_text:
            texts.append((inner.choice("id", ("A", "B")), kind))
            sides.append([])
        else:
            name = checked_text(inner.raw("id"), at, MAX_NAME)
            if not isinstance(special, dict) or name not in special:
                raise FormatError(f"{at}: the special token {name!r} is not defined")
            ids = Fields(special[name], f"{where}.special_tokens").list("ids", MAX_PIECES)
            checked = (checked_integer(number, f"{where}.special_tokens", 0, vocabulary - 1) for number in ids)
            sides[-1] += [TypedId(number, kind) for number in checked]
        inner.done()
        item.done()
    return [tuple(side) for side in sides], texts
