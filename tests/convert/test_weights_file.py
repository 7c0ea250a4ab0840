"""Files of weights alone: architectures by name, the pictures that go with them, folders of timm's."""

import json
import math

import numpy as np
import pytest
from checkpoints import write_json
from safetensors.numpy import save_file

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import architectures, huggingface, open_checkpoint, state_dict
from embedrt_convert.sources import Folder
from embedrt_convert.sources.weights_file import WeightsFile


@pytest.mark.parametrize(
    ("arch", "library", "family"),
    [
        ("timm:resnet50", "timm", "resnet"),
        ("torchvision:resnet50", "torchvision", "resnet"),
        ("mobilenetv2_110d", "timm", "mobilenet_v2"),
        ("mobilenet_v2", "torchvision", "mobilenet_v2"),
        ("tf_mobilenetv3_large_minimal_100", "timm", "mobilenet_v3"),
        ("efficientnet_lite0", "timm", "efficientnet"),
        ("efficientnet-lite0", "efficientnet_lite_pytorch", "efficientnet"),
        ("efficientnet_pytorch:efficientnet-b4", "efficientnet_pytorch", "efficientnet"),
        ("convnext_xlarge", "timm", "convnext"),
    ],
)
def test_names(arch, library, family):
    config = architectures.find(arch).config
    assert (config["library"], config["model_type"]) == (library, family)


@pytest.mark.parametrize("arch", ["resnet50", "efficientnet_b0", "convnext_tiny"])
def test_a_name_of_two_libraries_is_refused(arch):
    with pytest.raises(ConversionError, match=f"say timm:{arch} or torchvision:{arch}"):
        architectures.find(arch)


@pytest.mark.parametrize(
    "arch",
    # Each is another network than its name's beginning says.
    [
        "resnet50d",
        "resnext50_32x4d",
        "seresnet50",
        "timm:tf_efficientnetv2_s",
        "efficientnet_es",
        "efficientnet_b1_pruned",
        "mobilenetv3_rw",
        "mobilenetv3_large_150d",
        "convnext_tiny_hnf",
        "convnextv2_tiny",
        "convnext_large_mlp",
        "torchvision:mobilenetv2_100",
        "resnet50.a1_in1k",
        "",
    ],
)
def test_unknown_names_are_refused(arch):
    with pytest.raises(ConversionError, match=r"no architecture that is known.*timm: resnet18"):
        architectures.find(arch)


def test_an_unknown_library_is_refused():
    with pytest.raises(
        ConversionError, match="of keras; known: timm, torchvision, efficientnet_pytorch, efficientnet_lite_pytorch"
    ):
        architectures.find("keras:resnet50")


def test_lite_pixels():
    """(byte − 127) / 128, as the network was trained."""
    image = architectures.find("efficientnet-lite0").preset.image()
    for byte in (0, 127, 255):
        value = byte * np.array(image.scale) + np.array(image.offset)
        np.testing.assert_allclose(value, (byte - 127) / 128, atol=1e-12)


def test_other_sizes():
    preset = architectures.find("torchvision:resnet18").preset
    image = preset.image((112, 56))
    assert (image.height, image.width) == (112, 56) and image.crop == {"height": 112, "width": 56}
    assert image.resize == {"mode": "shortest_edge", "size": 128, "max": None}
    squashed = architectures.find("timm:efficientnet_b5").preset.image((224, 336))
    assert squashed.resize == {"mode": "fixed", "height": 224, "width": 336}


def write(path, tensors=None):
    save_file(tensors or {"x": np.ones(3, np.float32)}, path)
    return path


def test_a_file_is_read(tmp_path):
    files = WeightsFile(write(tmp_path / "net.safetensors"))
    checkpoint = state_dict.read(files, "mobilenet_v2", image_size=(96, 96))
    assert (files.label, files.name) == ("file:net.safetensors", "net")
    assert list(checkpoint.tensors) == ["x"] and (checkpoint.image.height, checkpoint.classifier) == (96, False)
    assert "torchvision:mobilenet_v2" in checkpoint.notes[0] and len(files.digest()) == 64


def test_a_preprocessor_goes_before_the_default(tmp_path):
    path, said = write(tmp_path / "net.safetensors"), {"image_processor_type": "ViTImageProcessor", "size": 80}
    write_json(tmp_path / "preprocessor_config.json", said)
    write_json(tmp_path / "other.json", {**said, "size": 48})
    beside = state_dict.read(WeightsFile(path), "mobilenet_v2")
    named = state_dict.read(WeightsFile(path, tmp_path / "other.json"), "mobilenet_v2")
    assert (beside.image.height, named.image.height) == (80, 48)
    assert not any("pictures are prepared" in note for note in named.notes)


def test_files_that_are_not_there_or_not_weights(tmp_path):
    with pytest.raises(ConversionError, match=r"absent\.pth: no such file"):
        WeightsFile(tmp_path / "absent.pth")
    with pytest.raises(ConversionError, match=r"absent\.json: no such file"):
        WeightsFile(write(tmp_path / "net.safetensors"), tmp_path / "absent.json")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConversionError, match="not a safetensors file"):
        state_dict.read(WeightsFile(tmp_path / "bad.safetensors"), "mobilenet_v2")


def test_a_source_with_its_architecture(tmp_path):
    path = str(write(tmp_path / "net.safetensors"))
    write_json(tmp_path / "other.json", {"image_processor_type": "ViTImageProcessor", "size": 48})
    files, checkpoint = open_checkpoint(
        path, arch="mobilenet_v2", preprocessor=tmp_path / "other.json", classifier=True
    )
    assert (files.name, checkpoint.image.height, checkpoint.classifier) == ("net", 48, True)
    with pytest.raises(ConversionError, match="the architecture must be named"):
        open_checkpoint(path)
    with pytest.raises(ConversionError, match=r"a folder has its own preprocessor_config\.json"):
        open_checkpoint(str(tmp_path), preprocessor="other.json")


TIMM = {
    "architecture": "mobilenetv2_100",
    "num_classes": 2,
    "label_names": ["cat", "dog"],
    "pretrained_cfg": {
        "input_size": [3, 96, 96],
        "interpolation": "bilinear",
        "crop_pct": 0.9,
        "crop_mode": "center",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
    },
}


def timm_folder(path, **changes):
    write(path / "model.safetensors")
    stated = {**TIMM["pretrained_cfg"], **changes.pop("pretrained_cfg", {})}
    write_json(path / "config.json", json.loads(json.dumps({**TIMM, **changes, "pretrained_cfg": stated})))
    return Folder(path)


def test_a_folder_of_timm(tmp_path):
    checkpoint = huggingface.read(timm_folder(tmp_path), classifier=True)
    image = checkpoint.image
    assert checkpoint.config["model_type"] == "mobilenet_v2" and image.labels == ("cat", "dog")
    assert image.resize == {"mode": "shortest_edge", "size": math.floor(96 / 0.9), "max": None}
    assert (image.height, image.width, image.resample) == (96, 96, "bilinear")
    np.testing.assert_allclose(np.array(image.scale) * 255, [1 / 0.5, 1 / 0.6, 1 / 0.7])
    np.testing.assert_allclose(image.offset, [-0.1 / 0.5, -0.2 / 0.6, -0.3 / 0.7])
    assert huggingface.read(timm_folder(tmp_path)).image.labels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "vit_tiny_patch16_224"}, "vit_tiny_patch16_224 is no architecture"),
        ({"model_args": {"output_stride": 16}}, "model_args"),
        ({"global_pool": "max"}, "global_pool 'max'"),
        ({"pretrained_cfg": {"crop_mode": "border"}}, "crop_mode 'border'"),
        ({"pretrained_cfg": {"input_size": [1, 96, 96]}}, "input_size"),
        ({"pretrained_cfg": {"interpolation": "random"}}, "interpolation 'random'"),
        ({"pretrained_cfg": {"crop_pct": None}}, "must have pretrained_cfg"),
        ({"pretrained_cfg": {"std": [0, 1, 1]}}, "not possible"),
    ],
)
def test_folders_of_timm_that_would_be_wrong_are_refused(changes, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        huggingface.read(timm_folder(tmp_path, **changes), classifier=True)
