"""Whole graphs with fused ops: expansion, names, and what is refused."""

import copy
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from bert_graph import HEADS, HIDDEN, bert, padded_batch
from fused_graphs import check_model, floats, graph_of, model_of, run, weight
from onnx import helper
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph import fused


def fused_by_tools(model, multi_head=False, raw_mask=False):
    options = FusionOptions("bert")
    options.use_multi_head_attention = multi_head
    options.use_raw_attention_mask(raw_mask)
    model = copy.deepcopy(model)
    return optimize_model(model, "bert", HEADS, HIDDEN, optimization_options=options, opt_level=0).model


def fused_ops(model):
    return Counter(node.op_type for node in model.graph.node if node.domain)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(("multi_head", "raw_mask"), [(False, False), (False, True), (True, False)])
def test_bert_fused_by_the_tools_of_onnxruntime(opset, multi_head, raw_mask):
    original = bert(opset)
    model = fused_by_tools(original, multi_head, raw_mask)
    attention = "MultiHeadAttention" if multi_head else "Attention"
    assert fused_ops(model) == {"EmbedLayerNormalization": 1, attention: 1, "SkipLayerNormalization": 2, "BiasGelu": 1}
    expanded = check_model(model, padded_batch())
    (expected,), (output,) = run(original, padded_batch()), run(expanded, padded_batch())
    kept = padded_batch()["attention_mask"] == 1
    np.testing.assert_allclose(output[kept], expected[kept], rtol=1e-5, atol=1e-5)


def test_a_graph_that_onnxruntime_saved_optimised(tmp_path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(bert(17).SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "optimised.onnx")
    assert fused_ops(model)["BiasGelu"] == 1
    check_model(model, padded_batch())


def test_standard_graphs_stay_as_they_are():
    model = bert(17)
    expanded, notes = fused.expand(copy.deepcopy(model))
    assert expanded == model
    assert notes == ()


def test_notes_count_the_ops():
    _, (note,) = fused.expand(fused_by_tools(bert(17)))
    assert note.endswith(": 1 Attention, 1 BiasGelu, 1 EmbedLayerNormalization, 2 SkipLayerNormalization")


def two_gelus(**names):
    """Gelu of a Gelu: the first node has no name, and the second that of a value."""
    first = helper.make_node("Gelu", ["x"], ["Gelu_0/Mul_0"], domain="com.microsoft")
    second = helper.make_node("Gelu", ["Gelu_0/Mul_0"], ["y"], name="Gelu_0", domain="com.microsoft")
    second.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="encoder.layer.0")
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy")
    return model_of(helper.make_graph([first, second], "graph", [x], [y]))


def test_pieces_are_named_after_their_node_and_no_name_is_taken_twice():
    expanded = check_model(two_gelus(), {"x": floats(3)})
    pieces = expanded.graph.node
    assert all(node.name.startswith("Gelu_0/") for node in pieces)
    assert len({node.name for node in pieces}) == len(pieces)
    scopes = [[prop.value for prop in node.metadata_props] for node in pieces]
    assert scopes == [[]] * 5 + [["encoder.layer.0"]] * 5


X, W = floats(2, 5, 16), weight(16, 48)
PAST = floats(2, 2, 4, 3, 4)


@pytest.mark.parametrize(
    ("op", "inputs", "options", "message"),
    [
        ("Attention", [X, W, None, None, PAST], {"num_heads": 4}, "input past is not supported; export an encoder"),
        ("Attention", [X, W], {"num_heads": 4, "outputs": ("y", "p")}, "output present is not supported"),
        ("Attention", [X, W], {"num_heads": 5}, r"5 heads and hidden sizes \[16, 16, 16\] do not fit"),
        ("Attention", [X, weight(16)], {"num_heads": 4}, "is not well formed: tuple index out of range"),
        ("QuickGelu", [X], {"alpha": "half"}, "is not well formed: could not convert string to float"),
        ("Attention", [X, W], {"num_heads": 0}, "attribute num_heads is 0"),
        ("Attention", [X, W], {"num_heads": 4, "do_rotary": 1}, "do_rotary is 1; only 0 is supported"),
        ("MultiHeadAttention", [X, X, X, weight(48), None, None, PAST[0], PAST[1]], {"num_heads": 4}, "past_key"),
        ("SkipLayerNormalization", [X, X, weight(16)], {"outputs": ("y", "mean")}, "output mean .* for inference"),
        ("RotaryEmbedding", [X, np.array([0]), weight(9, 8), weight(9, 8)], {"scale": 2.0}, "attribute scale is 2.0"),
        ("FusedGemm", [X[0], W], {"activation": "ScaledTanh"}, "activation 'ScaledTanh' is not supported"),
        ("FusedConv", [floats(1, 2, 4, 4), weight(3, 2, 3, 3)], {"activation": "Clip"}, "lacks a parameter"),
        ("PackedAttention", [X[0], W, weight(48)], {"num_heads": 4}, r"\[batch, sequence\]"),
        ("GatherBlockQuantized", [W, np.array([1])], {}, "save the model as it was before it was optimised"),
        ("Conv", [floats(1, 8, 4, 4), weight(8, 8, 3, 3)], {"domain": "com.microsoft.nchwc"}, "'extended'"),
        ("Tokenise", [X], {"domain": "of.mine"}, r"\(of.mine Tokenise\)"),
    ],
)
def test_what_has_no_expansion_is_refused(op, inputs, options, message):
    model, _ = graph_of(op, inputs, **options)
    with pytest.raises(ConversionError, match=f"node 'the_node' .*{message}"):
        fused.expand(model)


def test_outputs_that_nothing_uses_are_no_reason_to_refuse():
    model, feeds = graph_of("Attention", [X, W], num_heads=4, outputs=("y", "present"))
    del model.graph.output[1]
    check_model(model, feeds)


def test_old_opsets_are_refused():
    model, _ = graph_of("Gelu", [X], opset=10)
    with pytest.raises(ConversionError, match="opset 10; export it with opset 11"):
        fused.expand(model)


def test_fused_ops_in_branches_are_refused():
    branch = helper.make_graph(two_gelus().graph.node, "branch", [], [onnx.ValueInfoProto(name="y")])
    node = helper.make_node("If", ["c"], ["z"], name="choice", then_branch=branch, else_branch=branch)
    c = helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    model = model_of(helper.make_graph([node], "graph", [c], [onnx.ValueInfoProto(name="z")]))
    with pytest.raises(ConversionError, match=r"com.microsoft Gelu\) is within node 'choice' \(ai.onnx If\)"):
        fused.expand(model)


def test_a_mask_of_unknown_shape_is_refused():
    model, _ = graph_of("Attention", [X, W, None, np.ones((2, 5), np.int32)], num_heads=4)
    model.graph.input[1].type.tensor_type.ClearField("shape")
    with pytest.raises(ConversionError, match="the shape of its value 'in3' is not known"):
        fused.expand(model)


def test_an_output_that_only_a_branch_uses_is_kept():
    model, feeds = graph_of("SkipLayerNormalization", [X, X, weight(16)], outputs=("y", "", "", "sum"))
    branches = [
        helper.make_graph([helper.make_node(op, ["sum"], ["z"])], op, [], [onnx.ValueInfoProto(name="z")])
        for op in ("Neg", "Abs")
    ]
    node = helper.make_node("If", ["c"], ["out"], then_branch=branches[0], else_branch=branches[1])
    model.graph.node.append(node)
    model.graph.input.append(helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []))
    model.graph.output[1].name = "out"
    check_model(model, feeds | {"c": np.array(True)})
