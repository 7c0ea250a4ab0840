"""A program of images while it grows: what it adds to rows has places on a grid, and columns can be joined."""

from __future__ import annotations

import numpy as np

from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Image
from embedrt_convert.onnx_graph.forms import ABSENT, ZERO, Array, Form, Part, flat
from embedrt_convert.onnx_graph.lower import Lowering, RefusedError, Vector, column, expanded
from embedrt_convert.onnx_graph.lower_columns import are_joined, summed
from embedrt_convert.onnx_graph.recognise import in_place
from embedrt_convert.onnx_graph.terms import Pool


class ImageLowering(Lowering):
    """`image` says what is done to bytes before the graph takes them."""

    def __init__(self, program: Program, image: Image) -> None:
        super().__init__(program)
        self.image = image

    def _form(self, form: Form) -> int:
        if column(form.offset, form.shape) is None:
            form = expanded(form)  # positions may have been added to what was joined before
        return super()._form(form)

    def _sum(self, form: Form, bias: Vector | None) -> int:
        value = None if bias is None else summed(self, form, bias)
        return super()._sum(form, bias) if value is None else value

    def _pool(self, term: Pool, kind: str) -> int:
        """Of all rows, or of the last ones, after those of a prefix."""
        x, terms = term.x, [part.term for part in term.x.parts]
        skip = terms[0].rows - x.shape[0]
        first, whole = skip * x.shape[1], (terms[0].rows, x.shape[1])
        factors = [column(part.factor, x.shape) for part in x.parts]
        offset = column(x.offset, x.shape)
        are_last = all(
            (part.term.rows, part.term.columns) == whole and np.array_equal(part.index, first + flat(x.shape))
            for part in x.parts
        )
        if skip <= 0 or term.skip or not are_last or offset is None:
            return super()._pool(term, kind)
        parts = tuple(
            Part(each, flat(whole), factor[None])
            for each, factor in zip(terms, factors, strict=True)
            if factor is not None
        )
        if len(parts) < len(terms):
            return super()._pool(term, kind)
        return self.pooled(self.form(Form(whole, parts, offset[None])), kind, skip)

    def _added(self, value: int, numbers: Array, shape: tuple[int, ...]) -> int:
        position = np.ascontiguousarray(np.broadcast_to(numbers, shape), np.float32)
        return self.program.op("place", value, name=self.name("positions"), position=position)

    def _joined(self, form: Form) -> int:
        """Columns of several values side by side, or constant rows in front of those of a grid."""
        bias = column(form.offset, form.shape)
        if bias is not None and are_joined(form) and (value := summed(self, form, bias)) is not None:
            return value
        (part, *others) = form.parts
        there = part.index != ABSENT
        prefix = int(np.argmax(there[:, 0]))
        rows = form.shape[0] - prefix
        whole = (rows, form.shape[1])
        after = Part(part.term, part.index[prefix:], part.factor)
        if others or np.any(there[:prefix]) or not in_place(after, Form(whole, (), ZERO)):
            raise RefusedError(part.term.node, "rows are joined in an order that the core has no op for")
        factor = part.factor if part.factor.ndim == 0 else np.broadcast_to(part.factor, form.shape)[prefix:]
        offset = np.broadcast_to(form.offset, form.shape)
        # What all rows of the grid have in common is its layer's own.
        bias = column(offset[prefix:], whole)
        x = self.form(Form(whole, (Part(part.term, flat(whole), factor),), ZERO if bias is None else bias[None]))
        position = offset[prefix:].astype(np.float32) if bias is None else None
        first = offset[:prefix].astype(np.float32)
        return self.program.op("place", x, name=self.name("rows"), prefix=first, position=position)
