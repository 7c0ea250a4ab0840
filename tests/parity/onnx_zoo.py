"""Graphs as they come: tiny random encoders, exported, fused and quantised by the tools that others use.

`python tests/parity/onnx_zoo.py FOLDER [NAME...]` writes each as NAME.onnx, what it is as NAME.json, and what torch
makes of a few inputs as NAME.npz: `ids_0` (or `bytes_0` and, normalised, `pixels_0`), `out_0`, and `out2_0` of a second
output. A graph that is in the folder already stays as it is.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
import pathlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cpu_torchvision  # noqa: F401  (before timm and torchvision)
import numpy as np
import onnx_pictures as pictures
import onnx_texts as texts
import onnx_variants as variants
import torch
from onnx_pictures import ImageModel
from onnx_texts import TextModel


@dataclass(frozen=True)
class Graph:
    """How a graph of the zoo is made, and what is expected of it.

    `loss` says what keeps it from being the module in float32, if anything: "float16", "8 bits", "4 bits",
    "tanh for erf". `refused` is why no program can be made of it.
    """

    model: str
    exporter: str
    opset: int
    variant: Callable[..., None] | None = None
    loss: str = ""
    refused: str = ""


EXPORTERS = {"torchscript": 17, "dynamo": 18}  # and the opset that each is asked for by itself

MODELS: dict[str, Callable[[], TextModel | ImageModel]] = {
    "bert": texts.bert,
    "bert-eager": partial(texts.bert, "eager"),
    "bert-pooler": partial(texts.bert, outputs=("last_hidden_state", "pooler_output")),
    "bert-positions": partial(texts.bert, inputs=("input_ids", "attention_mask", "token_type_ids", "position_ids")),
    "bert-ids-mask": partial(texts.bert, inputs=("input_ids", "attention_mask")),
    "bert-letters": texts.bert_of_letters,
    "bert-sentences": texts.bert_sentences,
    "roberta": texts.roberta,
    "distilbert": texts.distilbert,
    "mpnet": texts.mpnet,
    "clip-text": texts.clip_text,
    "clip-text-argmax": partial(texts.clip_text, eos=2),
    "toy-gated": partial(texts.toy, gated=True),
    "toy-gelu": texts.toy,
    "toy-library": partial(texts.toy, library=True),
    "toy-rotary": partial(texts.toy, positions="rotary"),
    "toy-alibi": partial(texts.toy, positions="alibi"),
    "torch-encoder-first": partial(texts.torch_encoder, norm_first=True),
    "torch-encoder-last": partial(texts.torch_encoder, norm_first=False),
    "electra": texts.electra,
    "albert": texts.albert,
    "xlm-roberta": texts.xlm_roberta,
    "t5": texts.t5,
    "modernbert": texts.modernbert,
    "lstm": texts.lstm,
    "vit": pictures.vit,
    "vit-eager": partial(pictures.vit, "eager", ("last_hidden_state",)),
    "vit-classes": pictures.vit_classes,
    "vit-timm": pictures.vit_timm,
    "clip-image": pictures.clip_image,
    "mobilenetv2": partial(pictures.convolutional, "torchvision mobilenet_v2"),
    "mobilenetv2-rows": partial(pictures.convolutional_rows, "transformers mobilenet_v2"),
    "mobilenetv3-small": partial(pictures.convolutional, "torchvision mobilenet_v3_small"),
    "mobilenetv3-small-timm": partial(pictures.convolutional_features, "timm tf_mobilenetv3_small_100"),
    "resnet18": partial(pictures.convolutional, "torchvision resnet18"),
    "resnet50": partial(pictures.convolutional, "torchvision resnet50"),
    "resnet50-timm": partial(pictures.convolutional_features, "timm resnet50"),
    "efficientnet-lite0": partial(pictures.convolutional_features, "timm efficientnet_lite0"),
    "efficientnet-b0": partial(pictures.convolutional, "torchvision efficientnet_b0"),
    "efficientnet-b0-timm": partial(pictures.convolutional_features, "timm tf_efficientnet_b1"),
    "dinov2": pictures.dinov2,
    "convnext": partial(pictures.convolutional_features, "timm convnext_tiny"),
    "regnet": pictures.regnet,
    "swin": pictures.swin,
}

# Done to BERT of TorchScript with the eager attention, which is what onnxruntime's optimiser knows; opset 17.
VARIANTS: dict[str, tuple[Callable[..., None], str]] = {
    "fused": (variants.fused, ""),
    "fused-multi-head": (partial(variants.fused, use_multi_head_attention=True), ""),
    "fused-fast-gelu": (partial(variants.fused, enable_gelu_approximation=True), "tanh for erf"),
    "fused-by-session": (variants.saved_by_session, ""),
    "float16": (variants.float16, "float16"),
    "float16-outputs": (partial(variants.float16, outputs=False), "float16"),
    "float16-fused": (partial(variants.fused, float16=True), "float16"),
    "dynamic": (variants.dynamic, "8 bits"),
    "dynamic-unsigned": (partial(variants.dynamic, signed=False), "8 bits"),
    "dynamic-columns": (partial(variants.dynamic, per_channel=True), "8 bits"),
    "dynamic-by-session": (variants.dynamic_then_session, "8 bits"),
    "static-qdq": (variants.static, "8 bits"),
    "static-qdq-columns": (partial(variants.static, per_channel=True), "8 bits"),
    "static-qdq-products": (partial(variants.static, operators=("MatMul",)), "8 bits"),
    "static-qoperator": (partial(variants.static, form="QOperator"), "8 bits"),
    "blocks-4": (partial(variants.in_blocks, bits=4), "4 bits"),
    "blocks-4-zeros": (partial(variants.in_blocks, bits=4, symmetric=False), "4 bits"),
    "blocks-8": (partial(variants.in_blocks, bits=8), "8 bits"),
    "blocks-4-qdq": (partial(variants.in_blocks, bits=4, form="QDQ"), "4 bits"),
    "weights-dequantised": (variants.weights_dequantised, "8 bits"),
    "weights-cast": (partial(variants.weights_dequantised, cast=True), "8 bits"),
}

GRAPHS: dict[str, Graph] = {
    **{
        f"{name}-{exporter}-{opset}": Graph(name, exporter, opset)
        for name in MODELS
        for exporter, opset in EXPORTERS.items()
    },
    "bert-eager-torchscript-11": Graph("bert-eager", "torchscript", 11),
    "bert-torchscript-14": Graph("bert", "torchscript", 14),
    "bert-dynamo-21": Graph("bert", "dynamo", 21),
    "bert-dynamo-23": Graph("bert", "dynamo", 23),
    **{f"bert-{name}": Graph("bert-eager", "torchscript", 17, *how) for name, how in VARIANTS.items()},
    "bert-dynamo-fused": Graph("bert", "dynamo", 18, variants.fused),
    "bert-dynamo-float16": Graph("bert", "dynamo", 18, variants.float16, "float16"),
    "bert-dynamo-dynamic": Graph("bert", "dynamo", 18, variants.dynamic, "8 bits"),
    "bert-dynamo-static-qdq": Graph("bert", "dynamo", 18, variants.static, "8 bits"),
    "bert-fused-dynamic": Graph("bert-eager", "torchscript", 17, variants.fused_then_dynamic, "8 bits"),
    "mobilenetv2-static-qdq": Graph("mobilenetv2", "torchscript", 17, variants.static, "8 bits"),
    "mobilenetv2-static-qoperator": Graph(
        "mobilenetv2", "torchscript", 17, partial(variants.static, form="QOperator"), "8 bits"
    ),
    "vit-dynamic": Graph("vit-eager", "torchscript", 17, variants.dynamic, "8 bits"),
}
# What no program can be made of.
_LENGTH = "torch's own attention, traced for another: the graph runs for the example's number of tokens alone"
for _name, _why in {
    "toy-library-torchscript-17": _LENGTH,
    "torch-encoder-first-torchscript-17": _LENGTH,
    "torch-encoder-last-torchscript-17": _LENGTH,
    **{f"lstm-{exporter}-{opset}": "no op for it" for exporter, opset in EXPORTERS.items()},
    **{f"swin-{exporter}-{opset}": "no op for windows of patches" for exporter, opset in EXPORTERS.items()},
}.items():
    GRAPHS[_name] = dataclasses.replace(GRAPHS[_name], refused=_why)


def export(model: Any, path: pathlib.Path, exporter: str, opset: int) -> None:
    """Write the module's graph, for any number of texts or images and any length."""
    module = copy.deepcopy(model.module)  # a tracer leaves its values in some
    example = model.example()
    arguments = {"input_names": list(model.inputs), "output_names": list(model.outputs), "opset_version": opset}
    if exporter == "dynamo":
        axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        arguments["dynamic_shapes"] = {name: {i: axes[i] for i in model.dynamic} for name in model.inputs}
    else:
        names = {0: "batch", 1: "sequence"}
        arguments["dynamic_axes"] = {name: {i: names[i] for i in model.dynamic} for name in model.inputs}
    torch.backends.mha.set_fastpath_enabled(False)  # an operator of torch's own, that the tracer cannot write
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (),
            str(path),
            kwargs=example,
            dynamo=exporter == "dynamo",
            external_data=False,
            verbose=False,
            **arguments,
        )


@functools.cache
def model(name: str) -> TextModel | ImageModel:
    """A model of the zoo, with the same weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name]()


def make(name: str, folder: pathlib.Path) -> pathlib.Path:
    """A graph of the zoo, in a folder where it may be already."""
    graph = GRAPHS[name]
    path = folder / f"{name}.onnx"
    if path.exists():
        return path
    if graph.variant is None:
        export(model(graph.model), path, graph.exporter, graph.opset)
        return path
    source = make(f"{graph.model}-{graph.exporter}-{graph.opset}", folder)
    measured = "feeds" in inspect.signature(graph.variant).parameters
    graph.variant(source, path, **({"feeds": model(graph.model).calibration()} if measured else {}))
    return path


def describe(name: str, path: pathlib.Path) -> None:
    """What a graph is and what torch makes of a few inputs, beside it."""
    graph = GRAPHS[name]
    made = model(graph.model)
    about = {"exporter": graph.exporter, "opset": graph.opset, "loss": graph.loss, "refused": graph.refused}
    path.with_suffix(".json").write_text(json.dumps({**made.about(), **about}, indent=1) + "\n")
    arrays = {}
    for number, each in enumerate(made.inputs_to_compare()):
        if made.kind == "text":
            arrays[f"ids_{number}"] = each
        else:
            arrays |= {f"bytes_{number}": each[None], f"pixels_{number}": made.feeds(each)[made.inputs[0]]}
        for place, value in enumerate(made.expected(each).values()):
            arrays[f"out_{number}" if place == 0 else f"out{place + 1}_{number}"] = value
    np.savez(path.with_suffix(".npz"), **arrays)


def main(folder: pathlib.Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or GRAPHS:
        describe(name, make(name, folder))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
