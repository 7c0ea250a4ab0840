"""What becomes of any graph of texts: the program is right, or there is none."""

from __future__ import annotations

import pathlib
import tempfile
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx_spellings import PAD, Size

from embedrt_convert import reference
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Graph, Pooling
from embedrt_convert.onnx_graph import verify_texts
from embedrt_convert.onnx_graph.importer import Imported, import_text
from embedrt_convert.onnx_graph.standard import standard

BAR = 1e-3
ROLES = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types"}


@dataclass(frozen=True)
class Verdict:
    """`kind` is "refused", "right", "caught" for a program that differs and that verification refuses, or "wrong"."""

    kind: str
    why: str = ""


def judged(model: onnx.ModelProto, size: Size, seed: int, *, tokens: bool) -> Verdict:
    """Imports a graph and compares texts of all lengths; `tokens` asks for a pooling after it.

    Any exception but a ConversionError is the importer's own fault and comes out of here.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    try:
        graph = standard(copy).model
        modules = (Pooling("mean"),) if tokens else ()
        imported = import_text(graph, max_tokens=size.tokens, modules=modules, padding=PAD)
    except ConversionError as refused:
        return Verdict("refused", str(refused))
    name = "token_embeddings" if tokens else "sentence_embedding"
    if (why := _differs(model, imported, name, size, seed)) is None:
        return Verdict("right")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.onnx")
            path.write_bytes(model.SerializeToString())
            _verify(path, graph, imported, name, size)
    except ConversionError as caught:
        return Verdict("caught", f"{why}; {caught}")
    return Verdict("wrong", why)


def _differs(model: onnx.ModelProto, imported: Imported, name: str, size: Size, seed: int) -> str | None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        return f"onnxruntime does not take it: {str(error)[:200]}"
    rng = np.random.default_rng(seed)
    choices = np.array([each for each in range(imported.program.vocabulary) if each != PAD])
    pairs = []
    for length in range(1, size.tokens + 1):
        ids = rng.choice(choices, length)
        feeds = {"input_ids": ids[None], "attention_mask": np.ones((1, length), int)}
        feeds["token_type_ids"] = np.zeros((1, length), int)
        try:
            expected = session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()})[0]
        except Exception as error:
            return f"{length} tokens: onnxruntime does not run, {str(error)[:200]}"
        actual = reference.run(imported.program, ids.astype(np.int32), np.array([0, length]), name)
        if actual.size != expected.size or expected.shape[-1:] != actual.shape[-1:]:
            return f"{length} tokens: {actual.shape} for {expected.shape}"
        pairs.append((actual, expected.reshape(actual.shape)))
    scale = max(float(np.abs(expected).max()) for _, expected in pairs)
    for length, (actual, expected) in enumerate(pairs, 1):
        error = float(np.abs(actual - expected).max())
        if not error <= BAR * scale:  # NaN is wrong, too
            return f"{length} tokens: {error:.1e} where values reach {scale:.1e}"
    return None


def _verify(path: pathlib.Path, graph: onnx.ModelProto, imported: Imported, name: str, size: Size) -> None:
    inputs = {each.name: ROLES[each.name] for each in graph.graph.input}
    of = Graph(
        path,
        graph,
        inputs,
        lossy=False,
        about={},
        output=graph.graph.output[0].name,
        max_tokens=size.tokens,
        pad=PAD,
    )
    verify_texts.verified(imported, of, imported.program.outputs[name], verify_texts.Frame((), (), {PAD}))
