"""What was found in a graph, counted, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from embedrt_convert.onnx_graph.forms import Form
from embedrt_convert.onnx_graph.terms import (
    Activation,
    Attention,
    Conv,
    Elementwise,
    Linear,
    MaxPool,
    Norm,
    Normalize,
    Pool,
    Term,
    Tokens,
)

_NORMS = {"layer": "layer norm", "rms": "RMS norm"}
# Nodes that are what they are called; anything else was recognised by what it computes.
_OWN_NODES = {"LayerNormalization", "RMSNormalization", "Relu", "Tanh", "Sigmoid", "Gelu", "HardSwish", "HardSigmoid"}


def families(forms: Iterable[Form]) -> dict[str, int]:
    """Families of operations in what `forms` are made of, and how many of each: {"layer norm, spelled out": 13, …}."""
    counted = Counter(map(_family, terms_of(forms)))
    counted.pop("", None)
    return dict(counted)


def terms_of(forms: Iterable[Form]) -> list[Term]:
    """All terms that forms are made of, in the order in which the graph makes them."""
    found: dict[int, Term] = {}
    stack = [part.term for form in forms for part in form.parts]
    while stack:
        term = stack.pop()
        if term.number not in found:
            found[term.number] = term
            stack += [part.term for form in term.operands() for part in form.parts]
            if isinstance(term, Attention):
                stack.append(term.softmax)
    return [found[number] for number in sorted(found)]


def in_words(found: dict[str, int]) -> str:
    return ", ".join(f"{count} × {family}" for family, count in found.items()) or "nothing"


def _family(term: Term) -> str:
    """ "" for what is part of another family."""
    spelled = ", spelled out" if term.node is not None and term.node.op not in _OWN_NODES else ""
    if isinstance(term, Tokens):
        return f"table of {len(term.table):,} tokens"
    if isinstance(term, Attention):
        return f"attention with {len(term.heads)} heads"
    if isinstance(term, Norm):
        return _NORMS[term.kind] + spelled
    if isinstance(term, Activation):
        return term.kind + (spelled if "Clip" not in str(term.node and term.node.op) else "")
    if isinstance(term, Conv):
        return "depthwise convolution" if term.depthwise else "convolution"
    if isinstance(term, Pool):
        return f"pooling, {term.kind}"
    if isinstance(term, Elementwise):
        return "product of two values" if term.op == "mul" else f"{term.op} of each element"
    names = {Linear: "linear layer", MaxPool: "max pooling", Normalize: "normalisation"}
    return names.get(type(term), "")
