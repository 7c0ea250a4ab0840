"""What the `text` section says of models that give a text more than one vector: sparse weights, a vector a token."""

from __future__ import annotations

from typing import Any, NamedTuple

from embedrt._json import Fields, checked_integer

# Ids that a file may name: what is skipped are marks and words of a short list.
MAX_SKIPPED = 4096


class SparseConfig(NamedTuple):
    """How weights of tokens become one row: those of the ids in `skip` do not count.

    `max_active_dims` is how many weights of a row are kept unless a caller says otherwise, None for all.
    """

    skip: tuple[int, ...] = ()
    max_active_dims: int | None = None


class Expansion(NamedTuple):
    """Every query's ids are filled up with `id` to `to` ids; with `cut`, longer ones are cut to as many.

    Where these are not `attended`, they see the query's own tokens, and nothing sees them.
    """

    id: int
    to: int
    cut: bool
    attended: bool


class Side(NamedTuple):
    """Queries, or documents: their limit in tokens, and ids whose vectors are left out."""

    max_tokens: int
    skip: tuple[int, ...] = ()


class MultiVectorConfig(NamedTuple):
    """Which rows of a text are its vectors. `first` is how many rows are left out at the start of each text."""

    query: Side
    document: Side
    expansion: Expansion | None = None
    first: int = 0


def parse_sparse(value: Any, where: str, vocabulary: int) -> SparseConfig | None:
    """The key `sparse`. Raises FormatError."""
    if value is None:
        return None
    fields = Fields(value, where)
    most = fields.optional("max_active_dims")
    if most is not None:
        most = checked_integer(most, f"{where}.max_active_dims", 1, vocabulary)
    sparse = SparseConfig(_ids(fields, vocabulary), most)
    fields.done()
    return sparse


def parse_multi_vector(value: Any, where: str, limit: int, vocabulary: int) -> MultiVectorConfig | None:
    """The key `multi_vector` of a program that takes `limit` tokens. Raises FormatError."""
    if value is None:
        return None
    fields = Fields(value, where)
    sides = [_side(fields.raw(name), f"{where}.{name}", limit, vocabulary) for name in ("query", "document")]
    expansion = _expansion(fields.optional("expansion"), f"{where}.expansion", sides[0].max_tokens, vocabulary)
    first = fields.integer("first", 0, 1)
    fields.done()
    return MultiVectorConfig(sides[0], sides[1], expansion, first)


def _side(value: Any, where: str, limit: int, vocabulary: int) -> Side:
    fields = Fields(value, where)
    side = Side(fields.integer("max_tokens", 1, limit), _ids(fields, vocabulary))
    fields.done()
    return side


def _expansion(value: Any, where: str, limit: int, vocabulary: int) -> Expansion | None:
    if value is None:
        return None
    fields = Fields(value, where)
    made = Expansion(
        fields.integer("id", 0, vocabulary - 1),
        fields.integer("to", 1, limit),
        fields.flag("cut"),
        fields.flag("attended"),
    )
    fields.done()
    return made


def _ids(fields: Fields, vocabulary: int) -> tuple[int, ...]:
    ids = fields.list("skip", MAX_SKIPPED)
    return tuple(checked_integer(each, f"{fields.where}.skip[{n}]", 0, vocabulary - 1) for n, each in enumerate(ids))
