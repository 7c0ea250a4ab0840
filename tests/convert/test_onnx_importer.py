"""Every spelling of every part of an encoder: the imported program beside onnxruntime on the graph as it is written."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_attention import CHOICES, Spelling, encoder
from onnx_spellings import PAD, Size

from embedrt_convert import reference
from embedrt_convert.builder import Program
from embedrt_convert.inputs.checkpoint import Pooling
from embedrt_convert.onnx_graph.importer import import_text
from embedrt_convert.onnx_graph.standard import standard

SIZE = Size()
WITHOUT_MASK = {"none", "alibi of keys"}  # these heed no padding


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def by_onnxruntime(run: onnxruntime.InferenceSession, texts: list[np.ndarray]) -> np.ndarray:
    """The output for a batch that is filled up to the longest text and masked."""
    lengths = np.array([len(ids) for ids in texts])
    ids = np.full((len(texts), lengths.max()), PAD)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return run.run(None, {each.name: values[each.name] for each in run.get_inputs()})[0]


def imported(model: onnx.ModelProto, modules: tuple[Pooling, ...] = ()) -> Program:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return import_text(standard(copy).model, max_tokens=SIZE.tokens, padding=PAD, modules=modules).program


def compare(spelling: Spelling, opset: int) -> None:
    """Texts one at a time, all lengths, and the same as a padded batch."""
    model = encoder(spelling, SIZE, opset=opset)
    rows = spelling.end == "tokens"
    program = imported(model, (Pooling("mean"),) if rows else ())
    rng = np.random.default_rng(5)
    texts = [rng.integers(PAD + 1, SIZE.vocabulary, length) for length in range(1, SIZE.tokens + 1)]
    offsets = np.cumsum([0, *map(len, texts)])
    actual = reference.run(
        program, np.concatenate(texts).astype(np.int32), offsets, "token_embeddings" if rows else "sentence_embedding"
    )
    run = session(model)
    alone = np.concatenate([by_onnxruntime(run, [text]).reshape(-1, SIZE.hidden) for text in texts])
    assert actual.shape == alone.shape
    tolerance = 1e-5 * np.abs(alone).max()
    np.testing.assert_allclose(actual, alone, rtol=0, atol=tolerance)
    if spelling.mask not in WITHOUT_MASK:
        batch = by_onnxruntime(run, texts)
        if rows:
            batch = np.concatenate([row[: len(text)] for row, text in zip(batch, texts, strict=True)])
        np.testing.assert_allclose(actual, batch, rtol=0, atol=tolerance)


# Operators that an opset does not have yet.
NEW = {("norm", "layer, node"): 17, ("activation", "hard swish"): 14}


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(("part", "choice"), [(part, choice) for part, of in CHOICES.items() for choice in of])
def test_a_part(part, choice, opset):
    # LayerNormalization is newer than that opset.
    default = Spelling(norm="rms, pow, div, weight after") if opset < 17 else Spelling()
    changed = Spelling(**{**vars(default), part: choice})
    compare(changed, max(opset, NEW.get((part, choice), opset)))


@pytest.mark.parametrize("feed", CHOICES["feed"])
@pytest.mark.parametrize("activation", ["silu, exp", "quick gelu", "gelu, mul, half of erf", "sigmoid"])
def test_gates(feed, activation):
    compare(Spelling(feed=feed, activation=activation), 17)


@pytest.mark.parametrize("rotation", CHOICES["rotation"])
@pytest.mark.parametrize("heads", CHOICES["heads"])
@pytest.mark.parametrize("scale", ["of both", "of keys"])
def test_rotations(rotation, heads, scale):
    compare(Spelling(rotation=rotation, heads=heads, scale=scale, order="before"), 17)


@pytest.mark.parametrize("rotation", ["none", "halves"])
@pytest.mark.parametrize("heads", ["four axes", "grouped"])
def test_keys_that_queries_share_are_made_once(heads, rotation):
    program = imported(encoder(Spelling(heads=heads, rotation=rotation), SIZE, opset=17))
    attentions = [each for each in program.instructions if each.op in ("attention", "rope")]
    keys = {"four axes": 0, "grouped": 1}[heads]
    assert {each.attributes["kv_heads"] for each in attentions} == {keys}


@pytest.mark.parametrize("seed", range(40))
def test_together(seed):
    """Any spelling of one part beside any of the others."""
    rng = np.random.default_rng(seed)
    chosen = {part: of[rng.integers(len(of))] for part, of in CHOICES.items()}
    if chosen["end"] == "mean, weights":
        chosen["end"] = "mean, where"
    compare(Spelling(**chosen), 18)
