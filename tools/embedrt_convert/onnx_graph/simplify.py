"""onnxruntime's offline optimisation at its basic level, without its fusions: a smaller graph of the same operators."""

from __future__ import annotations

import pathlib
import tempfile

import onnx
import onnxruntime

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.edit import captured

# These make operators that no standard has, or shift work to other nodes than the ones an error should name.
_FUSIONS = (
    *("GeluFusionL1", "LayerNormFusionL1", "MatMulAddFusion", "ReshapeFusion", "TransposeOptimizer"),
    *("SliceConcatToSpaceToDepthFusion", "QDQPropagationTransformer", "WeightBiasQuantization", "WhereDummyDq"),
    *("EnsureUniqueDQForNodeUnit", "DoubleQDQPairsRemover", "ConstantSharing"),
)
_MAX_FOLDED = 1 << 30  # bytes of one constant: a graph can ask for any shape
_INLINE = 1024  # bytes up to which a tensor stays in the graph's own file


def simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with constants folded, common parts merged and nodes without effect gone. `model` loses its weights.

    Names of nodes and values stay, and what exporters write about a node. Raises ConversionError when onnxruntime does
    not take the graph.
    """
    _drop_unused(model.graph)
    written = {name: node for node in model.graph.node for name in node.output}
    # Some systems would not delete a file that onnxruntime still maps.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source, target = pathlib.Path(folder, "graph.onnx"), pathlib.Path(folder, "simple.onnx")
        onnx.save_model(
            model,
            source,
            save_as_external_data=True,
            location="weights",
            size_threshold=_INLINE,
            convert_attribute=True,
        )
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = 1
        for key, value in (
            ("session.disable_prepacking", "1"),
            ("session.optimized_model_external_initializers_file_name", "simple_weights"),
            ("session.optimized_model_external_initializers_min_size_in_bytes", str(_INLINE)),
            ("optimization.constant_folding_max_output_size_in_bytes", str(_MAX_FOLDED)),
        ):
            options.add_session_config_entry(key, value)
        try:
            onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(_FUSIONS)
            )
        except Exception as error:  # its errors have no common class that older versions export
            raise ConversionError(f"onnxruntime does not take the graph: {error}") from None
        result = onnx.load_model(target)
    for node in result.graph.node:
        before = written.get(node.output[0])
        if before is not None and not node.metadata_props:
            node.metadata_props.extend(before.metadata_props)
    return result


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Takes away what no output needs, which onnxruntime does not."""
    needed = {info.name for info in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if needed.isdisjoint(node.output):
            del graph.node[index]
        else:
            needed.update(node.input, captured(node))
