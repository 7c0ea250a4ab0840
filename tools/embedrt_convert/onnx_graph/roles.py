"""What the inputs of a graph are: token ids, an attention mask, token types, positions, or the pixels of pictures."""

from __future__ import annotations

from collections.abc import Mapping

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.graph import Graph, Input

IDS, MASK, TYPES, POSITIONS, PIXELS = "ids", "mask", "types", "positions", "pixels"

_NAMES = {
    "input_ids": IDS,
    "ids": IDS,
    "tokens": IDS,
    "attention_mask": MASK,
    "mask": MASK,
    "input_mask": MASK,
    "token_type_ids": TYPES,
    "segment_ids": TYPES,
    "position_ids": POSITIONS,
    "pixel_values": PIXELS,
    "pixels": PIXELS,
    "images": PIXELS,
    "image": PIXELS,
}


def roles(graph: Graph) -> Mapping[str, str]:
    """Name of an input -> its role: by its name, else as the only input that can have it. Raises ConversionError."""
    found = {each.name: _NAMES[each.name] for each in graph.inputs if each.name in _NAMES}
    rest = [each for each in graph.inputs if each.name not in found]
    for each in rest:
        role = _by_structure(graph, each)
        if role is None:
            raise ConversionError(
                f"the graph's input {each.name} ({each.dtype}, {list(each.shape)}) is neither token ids, an attention "
                f"mask, token types, positions nor pixels; name it one of {', '.join(_NAMES)}"
            )
        found[each.name] = role
    for role in (IDS, MASK, TYPES, POSITIONS, PIXELS):
        names = [name for name in found if found[name] == role]
        if len(names) > 1:
            raise ConversionError(f"the graph has several inputs that are {role}: {', '.join(names)}")
    kinds = {IDS, PIXELS} & set(found.values())
    if len(kinds) != 1:
        what = "both texts and images: export each encoder by itself" if kinds else "neither token ids nor pixels"
        raise ConversionError(f"the graph takes {what}")
    return found


def _by_structure(graph: Graph, given: Input) -> str | None:
    """Pixels have four axes; token ids are what rows of the largest table are taken by."""
    if given.dtype.kind == "f":
        return PIXELS if len(given.shape) == 4 else None
    if given.dtype.kind == "b":
        return MASK if len(given.shape) == 2 else None
    if len(given.shape) != 2:
        return None
    sizes = _table_rows(graph)
    if given.name not in sizes:
        return None
    return IDS if sizes[given.name] == max(sizes.values()) else None


def _table_rows(graph: Graph) -> dict[str, int]:
    """Input -> rows of the largest table that it indexes."""
    names = {each.name for each in graph.inputs}
    rows: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "Gather" and graph.is_constant(node.inputs[0]):
            for name in graph.ancestors((node.inputs[1],)) & names:
                rows[name] = max(rows.get(name, 0), graph.constant(node.inputs[0]).shape[0])
    return rows
