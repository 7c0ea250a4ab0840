"""Fused ops as the standard ops they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import onnx
import onnx.shape_inference

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph import (
    fused_attention,
    fused_product,
    fused_rotary,
    fused_simple,
    fused_standard_attention,
)
from embedrt_convert.onnx_graph.fused_pieces import Pieces, described
from embedrt_convert.onnx_graph.fused_shapes import Shapes

_MICROSOFT = "com.microsoft"
_STANDARD = ("", "ai.onnx")
_OLDEST = 11

# Each gives the names of the values that take the outputs' places; an empty one is of an output that nothing uses.
_EXPANSIONS: dict[tuple[str, str], Callable[[Pieces], list[str]]] = {
    (_MICROSOFT, "Attention"): fused_attention.attention,
    (_MICROSOFT, "BiasAdd"): fused_simple.bias_add,
    (_MICROSOFT, "BiasGelu"): fused_simple.bias_gelu,
    (_MICROSOFT, "BiasSplitGelu"): fused_simple.bias_split_gelu,
    (_MICROSOFT, "EmbedLayerNormalization"): fused_simple.embed_layer_norm,
    (_MICROSOFT, "FastGelu"): fused_simple.fast_gelu,
    (_MICROSOFT, "FusedConv"): fused_product.fused_conv,
    (_MICROSOFT, "FusedGemm"): fused_product.fused_gemm,
    (_MICROSOFT, "FusedMatMul"): fused_product.fused_matmul,
    (_MICROSOFT, "Gelu"): fused_simple.gelu,
    (_MICROSOFT, "GroupQueryAttention"): fused_attention.group_query_attention,
    (_MICROSOFT, "MultiHeadAttention"): fused_attention.multi_head_attention,
    (_MICROSOFT, "NhwcConv"): fused_product.nhwc_conv,
    (_MICROSOFT, "QuickGelu"): fused_simple.quick_gelu,
    (_MICROSOFT, "RotaryEmbedding"): fused_rotary.microsoft_rotary_embedding,
    (_MICROSOFT, "SimplifiedLayerNormalization"): fused_simple.rms_normalization,
    (_MICROSOFT, "SkipLayerNormalization"): fused_simple.skip_layer_norm,
    (_MICROSOFT, "SkipSimplifiedLayerNormalization"): fused_simple.skip_rms_norm,
    (_MICROSOFT, "TransposeMatMul"): fused_product.fused_matmul,
    ("", "Attention"): fused_standard_attention.standard_attention,
    ("", "RMSNormalization"): fused_simple.rms_normalization,
    ("", "RotaryEmbedding"): fused_rotary.rotary_embedding,
    ("", "SimplifiedLayerNormalization"): fused_simple.rms_normalization,
}

_ADVICE = "save the model as it was before it was optimised for one runtime or device"
_PACKED = "save the model without packing: its tokens must come as [batch, sequence]"
_REFUSED = {
    (_MICROSOFT, "PackedAttention"): _PACKED,
    (_MICROSOFT, "PackedMultiHeadAttention"): _PACKED,
    (_MICROSOFT, "RemovePadding"): _PACKED,
    (_MICROSOFT, "RestorePadding"): _PACKED,
}


def expand(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model with its fused ops (com.microsoft; Attention, RotaryEmbedding and RMSNormalization of ai.onnx) spelled
    out in standard ops, and notes of what was done. `model` is taken over: it is not to be used afterwards.

    Its floats are float32, its functions inlined. LayerNormalization stays a node even where the graph's opset is older
    than the op, as onnxruntime has it. Raises ConversionError for ops of other domains.
    """
    if not any(_is_fused(inner) for node in model.graph.node for inner in (node, *_inner_nodes(node))):
        return model, ()
    opset = next((o.version for o in model.opset_import if o.domain in _STANDARD), 0)
    if opset < _OLDEST:
        raise ConversionError(f"the graph has fused ops at opset {opset}; export it with opset {_OLDEST} or newer")
    counts = _expand_graph(model.graph, opset, Shapes(model))
    for i in reversed(range(len(model.opset_import))):
        if model.opset_import[i].domain not in _STANDARD:
            del model.opset_import[i]
    words = ", ".join(f"{count} {op}" for op, count in sorted(counts.items()))
    return model, (f"fused ops were written out as the ops they are made of: {words}",)


def _expand_graph(graph: onnx.GraphProto, opset: int, shapes: Shapes) -> Counter[str]:
    """Expands in place and counts the ops."""
    nodes = list(graph.node)
    everywhere = [inner for node in nodes for inner in (node, *_inner_nodes(node))]
    used = {name for node in everywhere for name in node.input if name} | {value.name for value in graph.output}
    names = {value.name for value in (*graph.input, *graph.initializer)}
    names |= {name for node in everywhere for name in (node.name, *node.output)}
    counts: Counter[str] = Counter()
    del graph.node[:]
    for index, node in enumerate(nodes):
        for inner in _inner_nodes(node):
            if _is_fused(inner):
                raise ConversionError(f"{described(inner)} is within {described(node)}; {_ADVICE}")
        if not _is_fused(node):
            graph.node.append(node)
            shapes.add_node(node)
            continue
        node.name = node.name or f"{node.op_type}_{index}"
        if _key(node) not in _EXPANSIONS:
            raise ConversionError(f"{described(node)} is not supported; {_advice(node)}")
        pieces = Pieces(node, opset, shapes, used, names)
        try:
            results = _EXPANSIONS[_key(node)](pieces)
        except (IndexError, TypeError, ValueError, onnx.shape_inference.InferenceError) as error:
            # The checker of onnx does not know these ops: shapes and types of attributes may be any.
            raise ConversionError(f"{described(node)} is not well formed: {error}") from error
        pieces.finish(results)
        graph.node.extend(pieces.nodes)
        graph.initializer.extend(pieces.constants)
        counts[node.op_type] += 1
    return counts


def _key(node: onnx.NodeProto) -> tuple[str, str]:
    return ("" if node.domain in _STANDARD else node.domain, node.op_type)


def _is_fused(node: onnx.NodeProto) -> bool:
    return _key(node) in _EXPANSIONS or node.domain not in _STANDARD


def _advice(node: onnx.NodeProto) -> str:
    if node.domain == "com.microsoft.nchwc":
        return "let onnxruntime save the model at its optimisation level 'extended' at most, which fits any CPU"
    return _REFUSED.get(_key(node), _ADVICE)


def _inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a node's branches and loops."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                yield inner
                yield from _inner_nodes(inner)
