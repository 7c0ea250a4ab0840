"""What the importer knows of a value: sums of elements of earlier terms, each times a number, plus a number.

A graph's value at a trial length is followed element by element. `Form` is Σ factor · term[index] + offset: whatever
data movement (reshape, transpose, slice, concat, expand) and affine arithmetic a graph does only changes index, factor
and offset, so that no spelling of it has to be known. A nonlinear operation makes a new `Term`, a matrix
[rows, columns] in the order in which the program will hold it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from embedrt_convert.onnx_graph.terms import Term

Array = NDArray[Any]
Index = NDArray[np.int32]
ABSENT = -1


class NotUnderstoodError(Exception):
    """The importer does not know what a node means; the reason, in words."""


def check_size(shape: tuple[int, ...], largest: int = 1 << 28) -> None:
    """Raises NotUnderstoodError for a value of so many elements that following them takes no end."""
    if math.prod(shape) > largest:
        raise NotUnderstoodError(f"a value of {list(shape)} for one item is too large to follow")


@functools.lru_cache(maxsize=64)
def flat(shape: tuple[int, ...]) -> Index:
    """The positions of a row-major array of this shape."""
    index = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    index.flags.writeable = False
    return index


@functools.lru_cache(maxsize=64)
def of_grid(height: int, width: int, columns: int) -> Index:
    """The positions of a grid of rows line by line, [height · width, columns], as [1, columns, height, width]."""
    index: Index = flat((1, height, width, columns)).transpose(0, 3, 1, 2)
    return index


@dataclass(frozen=True, eq=False)
class Part:
    """factor · term[index]: positions in the term's [rows, columns] row by row, or ABSENT for 0."""

    term: Term
    index: Index
    factor: Array  # float64, of the form's shape or one that broadcasts to it


@dataclass(frozen=True, eq=False)
class Form:
    """Σ parts + offset; `offset` (and only it, when there are no parts) has the value's own dtype."""

    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    offset: Array

    @property
    def known(self) -> bool:
        """Whether the value does not depend on the data."""
        return not self.parts

    @property
    def plain(self) -> Part | None:
        """The only part, when the form is no more than elements of a term."""
        if len(self.parts) != 1 or not is_scalar(self.offset, 0):
            return None
        return self.parts[0] if is_scalar(self.parts[0].factor, 1) else None

    def numbers(self) -> Array:
        """The value itself, of a known form."""
        return np.broadcast_to(self.offset, self.shape)


ONE: Array = np.ones(())
ZERO: Array = np.zeros(())


def known(value: Array) -> Form:
    return Form(np.shape(value), (), np.asarray(value))


def view(term: Term, index: Index) -> Form:
    return Form(index.shape, (Part(term, index, ONE),), ZERO)


def is_scalar(values: Array, number: float) -> bool:
    """Whether all values are this number."""
    return bool(np.all(np.asarray(values) == number))


def scalar(values: Array) -> float | None:
    """The number that all values are."""
    first = float(np.asarray(values).flat[0])
    return first if is_scalar(values, first) else None


def moved(form: Form, move: Callable[[Array], Array]) -> Form:
    """The form after a movement of its elements."""

    def of(values: Array) -> Array:
        return values if values.ndim == 0 else move(np.broadcast_to(values, form.shape))

    if form.known:
        numbers = move(form.numbers())
        return Form(numbers.shape, (), numbers)
    parts = tuple(Part(part.term, move(part.index), of(part.factor)) for part in form.parts)
    return Form(parts[0].index.shape, parts, of(form.offset))


def broadcast(form: Form, shape: tuple[int, ...]) -> Form:
    if form.shape == shape:
        return form
    parts = tuple(replace(part, index=np.broadcast_to(part.index, shape)) for part in form.parts)
    return Form(shape, parts, form.offset)


def add(a: Form, b: Form) -> Form:
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = broadcast(a, shape), broadcast(b, shape)
    parts = list(a.parts)
    for part in b.parts:
        for number, other in enumerate(parts):
            if other.term is part.term and same(other.index, part.index):
                parts[number] = replace(other, factor=other.factor + part.factor)
                break
        else:
            parts.append(part)
    left = tuple(part for part in parts if not is_scalar(part.factor, 0))
    return Form(shape, left, _plain_zero(np.asarray(a.offset + b.offset, np.float64)))


def _plain_zero(values: Array) -> Array:
    """Zeros as one number: a mask that masks nothing takes no memory."""
    return ZERO if is_scalar(values, 0) else values


def scaled(form: Form, by: Array) -> Form:
    """form · by, elementwise."""
    by = np.asarray(by, np.float64)
    shape = np.broadcast_shapes(form.shape, by.shape)
    form = broadcast(form, shape)
    parts = tuple(replace(part, factor=part.factor * by) for part in form.parts)
    return Form(shape, parts, np.asarray(form.offset * by))


def selected(where: Array, a: Form, b: Form) -> Form:
    """a where `where` is true, else b."""
    shape = np.broadcast_shapes(where.shape, a.shape, b.shape)
    if np.all(where):
        return broadcast(a, shape)
    if not np.any(where):
        return broadcast(b, shape)
    a, b = broadcast(a, shape), broadcast(b, shape)
    parts = tuple(
        replace(part, factor=np.where(chosen, part.factor, 0.0))
        for form, chosen in ((a, where), (b, ~where))
        for part in form.parts
    )
    return Form(shape, parts, np.where(where, a.offset, b.offset))


def concatenated(forms: list[Form], axis: int) -> Form:
    if all(form.known for form in forms):
        return known(np.concatenate([form.numbers() for form in forms], axis))
    extents = [form.shape[axis] for form in forms]
    ends = np.cumsum(extents)
    shape = (*forms[0].shape[:axis], int(ends[-1]), *forms[0].shape[axis + 1 :])
    parts: list[Part] = []
    for form, end, extent in zip(forms, ends, extents, strict=True):
        place = (slice(None),) * axis + (slice(int(end) - extent, int(end)),)
        for part in map(_source, form.parts):
            index = np.full(shape, ABSENT, np.int32)
            index[place] = part.index
            factor = np.zeros(shape)
            factor[place] = part.factor
            _merge(parts, Part(part.term, index, factor))
    offset = np.concatenate([np.broadcast_to(form.offset, form.shape) for form in forms], axis).astype(np.float64)
    made = tuple(_whole(part) for part in parts)
    return Form(shape, made, _plain_zero(offset))


def _source(part: Part) -> Part:
    """Of what a term's elements are taken from, when it is nothing but elements of another one."""
    while (alias := part.term.alias()) is not None:
        index = np.where(part.index == ABSENT, ABSENT, alias.index.reshape(-1)[part.index]).astype(np.int32)
        part = Part(alias.term, index, part.factor)
    return part


def _merge(parts: list[Part], part: Part) -> None:
    """Into a part of the same term that has nothing in the same places, where there is one."""
    there = part.index != ABSENT
    found = [
        number
        for number, other in enumerate(parts)
        if other.term is part.term and not np.any((other.index != ABSENT) & there)
    ]
    if not found:
        parts.append(part)
        return
    # Best with what has other elements: pairs that are turned into each other become all columns and their partners.
    apart = (number for number in found if not np.any(np.isin(part.index[there], parts[number].index)))
    number = found[0] if len(found) == 1 else next(apart, found[0])
    other = parts[number]
    parts[number] = Part(part.term, np.where(there, part.index, other.index), other.factor + part.factor)


def _whole(part: Part) -> Part:
    """With a scalar factor, where all elements that are there have the same."""
    there = part.factor[part.index != ABSENT]
    return replace(part, factor=ONE) if there.size and np.all(there == 1) else part


def same(a: Index, b: Index) -> bool:
    return a is b or (a.shape == b.shape and bool(np.array_equal(a, b)))


def canonical(*forms: Form) -> tuple[tuple[Form, ...], Index]:
    """The forms as matrices [rows, columns] in the order of the widest term among them, and where elements went.

    All forms must have one shape. The second result has that shape: each element's position in the matrices. Elements
    that are repeated (an expanded axis, a head of keys that several heads of queries share) are one in the matrix.
    Raises NotUnderstoodError when they are no whole rows of columns.
    """
    shape = forms[0].shape
    parts = [part for form in forms for part in form.parts]
    if (grid := _whole_grid(parts)) is not None:
        return tuple(_in_rows(form, grid) for form in forms), grid
    unique, layout, first = _widest(parts)
    columns = unique.columns
    matrix = (unique.rows, columns)

    def taken(values: Array) -> Array:
        if values.ndim == 0:
            return values
        full = np.broadcast_to(values, shape).reshape(-1)
        if first is flat((full.size,)):
            return full.reshape(matrix)
        chosen = full[first]
        if not np.array_equal(chosen[layout.reshape(-1)], full, equal_nan=chosen.dtype.kind == "f"):
            raise NotUnderstoodError("elements of a repeated row are treated differently")
        return chosen.reshape(matrix)

    made = tuple(
        Form(matrix, tuple(Part(p.term, taken(p.index), taken(p.factor)) for p in form.parts), taken(form.offset))
        for form in forms
    )
    return made, layout


def spread(form: Form, layout: Index) -> Form:
    """A canonical form as `layout` says, which `canonical` gave."""

    def move(values: Array) -> Array:
        taken: Array = layout if values is flat(form.shape) else values.reshape(-1)[layout]
        return taken

    return moved(form, move)


def _whole_grid(parts: list[Part]) -> Index | None:
    """The index of a grid that parts are: a whole one, of which there are many and large ones, or joined columns."""
    shape = parts[0].index.shape
    if len(shape) != 4 or shape[0] != 1:
        return None
    _, columns, height, width = shape
    grid = of_grid(height, width, columns)
    if any(part.index is grid and part.index.size == part.term.rows * part.term.columns for part in parts):
        return grid
    joined = any(np.any(part.index == ABSENT) for part in parts)
    return grid if joined and all(_in_places(part, height * width) for part in parts) else None


def _in_places(part: Part, rows: int) -> bool:
    """Whether all columns of a grid [1, columns, h, w] are columns of a term's rows, in their places, or absent."""
    if part.term.rows != rows:
        return False
    place = np.arange(rows, dtype=np.int32).reshape(part.index.shape[2:])
    return bool(np.all((part.index == ABSENT) | (part.index // part.term.columns == place)))


def _in_rows(form: Form, grid: Index) -> Form:
    """A form [1, columns, height, width] as a row for each place."""
    _, columns, height, width = grid.shape
    matrix = (height * width, columns)

    def rows(values: Array) -> Array:
        if values is grid:
            return flat(matrix)
        if values.ndim == 0:
            return values
        if values.shape[-3:] == (columns, 1, 1):
            return values.reshape(1, columns)
        full: Array = np.broadcast_to(values, form.shape).transpose(0, 2, 3, 1).reshape(matrix)
        return full

    parts = tuple(Part(part.term, rows(part.index), rows(part.factor)) for part in form.parts)
    return Form(matrix, parts, rows(form.offset))


@dataclass(frozen=True)
class _Extent:
    rows: int
    columns: int


def _widest(parts: list[Part]) -> tuple[_Extent, Index, Index]:
    """Rows and columns of the part with the most different elements; each element's position; one of each position."""
    best: tuple[Array, Array, Array, Part] | None = None
    for part in parts:
        if np.any(part.index == ABSENT):
            continue
        size = part.index.size
        if part.index is flat(part.index.shape) and size == part.term.rows * part.term.columns:
            everything = flat((size,))
            return _Extent(part.term.rows, part.term.columns), part.index, everything
        unique, first, layout = np.unique(part.index, return_index=True, return_inverse=True)
        if best is None or len(unique) > len(best[0]):
            best = unique, first, layout, part
    shape = parts[0].index.shape
    if best is None:  # joined rows of several terms: they are in their own order
        size = int(np.prod(shape))
        columns = shape[-1] if shape else 1
        return _Extent(size // columns, columns), flat(shape), flat((size,))
    unique, first, layout, part = best
    rows, columns = np.unique(unique // part.term.columns), np.unique(unique % part.term.columns)
    if len(rows) * len(columns) != len(unique):
        raise NotUnderstoodError("elements are taken that are no whole rows of columns")
    return _Extent(len(rows), len(columns)), layout.reshape(shape).astype(np.int32), first.astype(np.int32)
