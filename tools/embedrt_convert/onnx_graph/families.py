"""What a graph is made of, counted, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from embedrt_convert.onnx_graph.flow import Flow
from embedrt_convert.onnx_graph.lower import Lowering


def families(flow: Flow, lowering: Lowering) -> Mapping[str, int]:
    """How many of each op, in words: "attention of 12 heads" -> 6."""
    found: Counter[str] = Counter()
    for each in lowering.program.instructions:
        details = [
            f"{each.attributes[name]}"
            for name in ("kind", "activation", "index")
            if each.attributes.get(name) not in (None, "none")
        ]
        if each.op == "attention":
            details.append(f"{each.attributes['heads']} heads")
        found[f"{each.op} ({', '.join(details)})" if details else each.op] += 1
    return found
