"""Tiny random convolutional networks: transformers, timm and torchvision beside the reference and the core."""

import contextlib
import dataclasses
import json

import conv_nets
import numpy as np
import pytest
import timm
import timm.models.efficientnet as timm_efficientnet
import torch
import torchvision
from safetensors.torch import save_file

from embedrt import _core
from embedrt_convert import reference, writer
from embedrt_convert.archs import lower
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import architectures, huggingface, state_dict
from embedrt_convert.sources import Folder
from embedrt_convert.sources.weights_file import WeightsFile

# Odd sizes too: padding that makes ⌈extent / stride⌉ outputs is not the same on both sides, and depends on the extent.
SIZES = [(64, 64), (65, 47), (38, 75)]


@pytest.fixture(scope="module", params=conv_nets.PEERS)
def peer(request):
    return conv_nets.PEERS[request.param]()


def run_core(program, pixels, output, tmp_path):
    """An output by the core, of a file of the program as it is."""
    path = tmp_path / "network.embedrt"
    writer.write(path, writer.program_sections(program))
    values = _core.Model(str(path)).run_images(pixels, output)
    return values.reshape(-1, values.shape[-1])


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_output(peer, size, tmp_path):
    checkpoint = conv_nets.checkpoint(peer, *size)
    program = lower(checkpoint)
    pixels = np.random.default_rng(5).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    expected = conv_nets.expected(peer, pixels, checkpoint)
    assert set(program.outputs) == set(expected)
    for output, values in expected.items():
        scale = np.abs(values).max()
        # Weights are rounded to float32 once more, after BatchNorm is folded into them, and up to 80 layers deep.
        actual = reference.run_images(program, pixels, output)
        np.testing.assert_allclose(actual, values, rtol=0, atol=1e-5 * scale, err_msg=output)
        core = run_core(program, pixels, output, tmp_path)
        np.testing.assert_allclose(core, values, rtol=0, atol=5e-5 * scale, err_msg=output)


def test_without_the_classifier(peer):
    program = lower(conv_nets.checkpoint(peer, 64, 64, classifier=False))
    assert "logits" not in program.outputs and "image_embedding" in program.outputs


def known(library, names):
    """Those of the library's names that the converter knows too."""
    found = {}
    for name in names:
        with contextlib.suppress(ConversionError):
            found[name] = architectures.find(f"{library}:{name}")
    return found


def test_the_pictures_of_timms_architectures():
    architectures_ = known("timm", timm.list_models())
    assert len(architectures_) > 40
    for name, made in architectures_.items():
        stated, image = timm.get_pretrained_cfg(name), made.preset.image()
        assert stated is not None, name
        side = stated.input_size[1]
        assert (image.height, image.width, image.resample) == (side, side, stated.interpolation), name
        edge = int(side / stated.crop_pct)
        if stated.crop_mode == "squash":
            assert image.resize == {"mode": "fixed", "height": edge, "width": edge}, name
        else:
            assert image.resize == {"mode": "shortest_edge", "size": edge, "max": None}, name
        assert_normalises(image, stated.mean, stated.std)


def test_the_pictures_of_torchvisions_architectures():
    architectures_ = known("torchvision", torchvision.models.list_models())
    assert len(architectures_) > 12
    for name, made in architectures_.items():
        transforms, image = torchvision.models.get_model_weights(name).DEFAULT.transforms(), made.preset.image()
        assert [image.height, image.width] == transforms.crop_size * 2, name
        assert image.resize == {"mode": "shortest_edge", "size": transforms.resize_size[0], "max": None}, name
        assert image.resample == transforms.interpolation.value, name
        assert_normalises(image, transforms.mean, transforms.std)


def assert_normalises(image, mean, deviation):
    for level in (0, 255):
        expected = (level / 255 - np.array(mean)) / np.array(deviation)
        np.testing.assert_allclose(level * np.array(image.scale) + np.array(image.offset), expected, atol=1e-12)


PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 64, "width": 64},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
FOLDERS = ["resnet bottleneck", "mobilenet_v2", "efficientnet", "convnext"]


def assert_same_logits(actual, expected):
    """Two checkpoints of one network, taken from different files."""
    pixels = np.random.default_rng(6).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    logits = [reference.run_images(lower(each), pixels, "logits") for each in (actual, expected)]
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_transformers(name, tmp_path):
    peer = conv_nets.PEERS[f"transformers {name}"]()
    peer.model.config.id2label = {number: f"class {number}" for number in range(conv_nets.CLASSES)}
    peer.model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    checkpoint = huggingface.read(Folder(tmp_path), classifier=True)
    assert checkpoint.image.labels == tuple(f"class {number}" for number in range(conv_nets.CLASSES))
    assert_same_logits(checkpoint, conv_nets.checkpoint(peer, 64, 64))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_folder_of_timm(wrapped, tmp_path):
    stated = {
        "input_size": [3, 64, 64],
        "interpolation": "bicubic",
        "crop_pct": 0.8,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    config = {"architecture": "mobilenetv2_035", "num_classes": conv_nets.CLASSES, "pretrained_cfg": stated}
    if wrapped:
        config |= {"model_type": "timm_wrapper", "do_pooling": True}
    peer = conv_nets.PEERS["timm mobilenetv2_035"]()
    prefix = "timm_model." if wrapped else ""
    tensors = {prefix + name: tensor.contiguous() for name, tensor in peer.model.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    checkpoint = huggingface.read(Folder(tmp_path), classifier=True)
    assert checkpoint.image.resize == {"mode": "shortest_edge", "size": 80, "max": None}
    assert_same_logits(checkpoint, conv_nets.checkpoint(peer, 64, 64))


_EFFICIENTNET_PYTORCH = {
    "conv_stem": "_conv_stem",
    "bn1": "_bn0",
    "conv_head": "_conv_head",
    "bn2": "_bn1",
    "classifier": "_fc",
    "se.conv_reduce": "_se_reduce",
    "se.conv_expand": "_se_expand",
    "conv_dw": "_depthwise_conv",
}
_SEPARABLE = {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_INVERTED = {"conv_pw": "_expand_conv", "bn1": "_bn0", "bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}


def test_the_names_of_efficientnet_pytorch():
    """The package is not to be had here: its names, as they are in EfficientNet-Lite0's file, for timm's network."""
    # Wide enough for all stages to differ.
    model = timm_efficientnet._gen_efficientnet(
        "tf_efficientnet_b0", channel_multiplier=0.5, num_classes=conv_nets.CLASSES, bn_eps=1e-3, pad_type="same"
    )
    expected = conv_nets.checkpoint(conv_nets.timm_peer("tf_efficientnet_b0", model), 64, 64)
    blocks = [key.removesuffix(".conv_dw.weight") for key in expected.tensors if key.endswith(".conv_dw.weight")]
    renamed = {}
    for name, tensor in expected.tensors.items():
        layer, _, kind = name.rpartition(".")
        at = ".".join(name.split(".")[:3])
        if at in blocks:
            own = _INVERTED if f"{at}.conv_pwl.weight" in expected.tensors else _SEPARABLE
            layer = f"_blocks.{blocks.index(at)}." + {**_EFFICIENTNET_PYTORCH, **own}[layer.removeprefix(f"{at}.")]
        else:
            layer = _EFFICIENTNET_PYTORCH[layer]
        renamed[f"{layer}.{kind}"] = tensor
    config = architectures.find("efficientnet-b0").config
    assert_same_logits(dataclasses.replace(expected, config=config, tensors=renamed), expected)


@pytest.mark.parametrize(("suffix", "nested"), [("pth", False), ("pth", True), ("safetensors", False)])
def test_a_file_of_weights(suffix, nested, tmp_path):
    peer = conv_nets.PEERS["torchvision mobilenet_v3_small"]()
    path, tensors = tmp_path / f"weights.{suffix}", peer.model.state_dict()
    if suffix == "safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    elif nested:
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, path)
    else:
        torch.save(tensors, path)
    expected = conv_nets.checkpoint(peer, 64, 64)
    read = state_dict.read(WeightsFile(path), "mobilenet_v3_small", classifier=True, image_size=(64, 64))
    assert "torchvision:mobilenet_v3_small" in read.notes[0]
    assert_same_logits(read, expected)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    read = state_dict.read(WeightsFile(path), "mobilenet_v3_small", classifier=True)
    assert read.image.crop is None
    assert_same_logits(read, expected)
