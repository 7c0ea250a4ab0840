"""Real weights, exported by both exporters: the same program as from the checkpoint, and vectors as good.

EMBEDRT_TEST_MODELS is a folder with the checkpoints, EMBEDRT_TEST_DATA one with stsb-en-dev.csv beside images/; else:
skipped. multilingual-e5-small is tested where it is in that folder.
"""

import csv
import json
import os
import pathlib
import re

import numpy as np
import pytest
import torch
from test_real_models import required
from transformers import AutoModel

import embedrt
from embedrt import _core
from embedrt._image import prepare
from embedrt._image_config import parse_image_config
from embedrt_bench.images import checkpoint as image_checkpoint
from embedrt_bench.images import networks
from embedrt_convert import convert
from embedrt_convert.inputs import architectures
from embedrt_convert.quality import cosine

EXPORTERS = {"torchscript": 17, "dynamo": 18}
MODELS = pathlib.Path(os.environ.get("EMBEDRT_TEST_MODELS", "/nonexistent"))
TEXTS = ["all-MiniLM-L6-v2", *(["multilingual-e5-small"] if (MODELS / "multilingual-e5-small").is_dir() else [])]
_DIFFERENCE = 1e-4  # of the mean cosine to fp32, between a file made of a graph and one made of the checkpoint


class LastHiddenState(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, input_ids, attention_mask, token_type_ids):
        made = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return made.last_hidden_state


class Patches(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, pixel_values):
        return self.model(pixel_values=pixel_values).last_hidden_state


def export(module, inputs, axes, path, exporter):
    options = {"dynamic_axes": dict.fromkeys(inputs, axes), "dynamo": False}
    if exporter == "dynamo":
        dimensions = {axis: torch.export.Dim(name) for axis, name in axes.items()}
        options = {"dynamic_shapes": (dimensions,) * len(inputs), "dynamo": True, "external_data": False}
    names = {"input_names": list(inputs), "output_names": ["last_hidden_state" if len(inputs) > 1 else "features"]}
    with torch.no_grad():
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), opset_version=EXPORTERS[exporter], **names, **options
        )
    return path


def operations(path):
    """op -> how many, of a file's program."""
    names = re.findall(r"= (\w+)\(", str(_core.Model(str(path)).listing()))
    return {name: names.count(name) for name in names}


@pytest.fixture(scope="module", params=TEXTS)
def text_model(request, tmp_path_factory):
    """(checkpoint's folder, its int8 file, sentences, their vectors in fp32)"""
    folder = required("EMBEDRT_TEST_MODELS", request.param)
    made = tmp_path_factory.mktemp("text")
    for quant in ("int8", "fp32"):
        convert(folder, made / f"{quant}.embedrt", quant=quant)
    with required("EMBEDRT_TEST_DATA", "stsb-en-dev.csv").open(encoding="utf-8", newline="") as file:
        sentences = [row[0] for row in csv.reader(file)][:300]
    return folder, made / "int8.embedrt", sentences, embedrt.load(made / "fp32.embedrt").encode(sentences)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_texts(text_model, exporter, tmp_path):
    folder, own, sentences, exact = text_model
    ids = torch.randint(5, 1000, (2, 9))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    graph = export(LastHiddenState(folder), inputs, {0: "batch", 1: "sequence"}, tmp_path / "model.onnx", exporter)
    imported = tmp_path / "imported.embedrt"
    convert(graph, imported, tokenizer=folder, pooling="mean", normalize=True)
    assert operations(imported) == operations(own)
    similar = [cosine(exact, embedrt.load(path).encode(sentences)).mean() for path in (own, imported)]
    assert abs(similar[0] - similar[1]) <= _DIFFERENCE


def processor(preset):
    """A preprocessor_config.json that asks for what a preset does."""
    mean, deviation = preset.statistics
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": preset.resize},
        "resample": {"bilinear": 2, "bicubic": 3}[preset.resample],
        "crop_size": {"height": preset.size, "width": preset.size},
        "image_mean": mean,
        "image_std": deviation,
        **{f"do_{step}": True for step in ("resize", "center_crop", "rescale", "normalize", "convert_rgb")},
    }


@pytest.fixture(scope="module", params=["dinov2-small", "efficientnet-lite0.pth"])
def image_model(request, tmp_path_factory):
    """(module, its int8 file, preprocessor_config.json, pixels, their vectors in fp32)"""
    source = required("EMBEDRT_TEST_MODELS", request.param)
    made = tmp_path_factory.mktemp("image")
    options = {} if source.is_dir() else {"arch": "efficientnet-lite0"}
    for quant in ("int8", "fp32"):
        convert(source, made / f"{quant}.embedrt", quant=quant, **options)
    if source.is_dir():
        module, preprocessor = Patches(source), source / "preprocessor_config.json"
    else:
        module = networks.load(
            image_checkpoint.read(source, "efficientnet_lite_pytorch:efficientnet-lite0", (224, 224))
        )[0]
        preset, preprocessor = architectures.find("efficientnet-lite0").preset, made / "preprocessor_config.json"
        preprocessor.write_text(json.dumps(processor(preset)), encoding="utf-8")
    core = _core.Model(str(made / "int8.embedrt"))
    config = parse_image_config(core.section("image"), core.image_size, None)
    files = sorted(required("EMBEDRT_TEST_DATA", "../images").rglob("*.jpg"))
    pixels = np.stack([prepare(file, config) for file in files])
    exact = _core.Model(str(made / "fp32.embedrt")).run_images(pixels, "image_embedding")
    return module, made / "int8.embedrt", preprocessor, pixels, exact


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_images(image_model, exporter, tmp_path):
    module, own, preprocessor, pixels, exact = image_model
    example = torch.zeros(2, 3, *pixels.shape[1:3])
    graph = export(module, {"pixel_values": example}, {0: "batch"}, tmp_path / "model.onnx", exporter)
    imported = tmp_path / "imported.embedrt"
    convert(graph, imported, preprocessor=preprocessor)
    wanted, found = operations(own), operations(imported)
    # Pools are outputs of their own: the checkpoint's lowering and the graph name different ones.
    assert {**found, "pool": 0} == {**wanted, "pool": 0}
    vectors = [_core.Model(str(path)).run_images(pixels, "image_embedding") for path in (own, imported)]
    similar = [cosine(exact.astype(np.float64), each.astype(np.float64)).mean() for each in vectors]
    assert abs(similar[0] - similar[1]) <= _DIFFERENCE
