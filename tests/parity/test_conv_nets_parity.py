"""Tiny random convolutional networks: transformers, timm and torchvision beside the reference and the core."""

import conv_nets
import numpy as np
import pytest
import timm
import torchvision

from embedrt import _core
from embedrt_convert import reference, writer
from embedrt_convert.archs import lower
from embedrt_convert.inputs import architectures

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


def known(library):
    """Names of the library's that the converter knows too."""
    names = timm.list_models() if library == "timm" else torchvision.models.list_models()
    found = {}
    for name in names:
        try:
            found[name] = architectures.find(f"{library}:{name}")
        except architectures.ConversionError:
            continue
    return found


def test_the_pictures_of_timms_architectures():
    architectures_ = known("timm")
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
    architectures_ = known("torchvision")
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
