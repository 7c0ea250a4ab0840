"""Convolutional networks: what the lowerings take and refuse."""

import dataclasses

import numpy as np
import pytest

from embedrt_convert import reference
from embedrt_convert.archs import lower
from embedrt_convert.archs._conv import same_pads
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import architectures
from embedrt_convert.inputs.checkpoint import Checkpoint

CLASSES, WIDTHS = 5, (4, 6, 8, 10)


def resnet_tensors() -> dict[str, np.ndarray]:
    """One basic block in each of four stages, by the names of torchvision."""
    rng = np.random.default_rng(2)
    tensors = {"fc.weight": rng.normal(size=(CLASSES, WIDTHS[-1])), "fc.bias": rng.normal(size=CLASSES)}

    def layer(conv: str, norm: str, n: int, c: int, kernel: int) -> None:
        tensors[f"{conv}.weight"] = rng.normal(size=(n, c, kernel, kernel)) / kernel
        for part in ("weight", "bias", "running_mean"):
            tensors[f"{norm}.{part}"] = rng.normal(size=n)
        tensors[f"{norm}.running_var"] = rng.uniform(0.5, 2, n)
        tensors[f"{norm}.num_batches_tracked"] = np.array(7)

    layer("conv1", "bn1", WIDTHS[0], 3, 7)
    for stage, (c, n) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False), 1):
        layer(f"layer{stage}.0.conv1", f"layer{stage}.0.bn1", n, c, 3)
        layer(f"layer{stage}.0.conv2", f"layer{stage}.0.bn2", n, n, 3)
        if stage > 1:
            layer(f"layer{stage}.0.downsample.0", f"layer{stage}.0.downsample.1", n, c, 1)
    return {name: np.asarray(value, np.float32) for name, value in tensors.items()}


def checkpoint(tensors=None, arch="torchvision:resnet18", size=(32, 32), labels=None, classifier=True) -> Checkpoint:
    made = architectures.find(arch)
    return Checkpoint(
        config=made.config,
        tensors=resnet_tensors() if tensors is None else tensors,
        text=None,
        modules=(),
        licence="unknown",
        image=dataclasses.replace(made.preset.image(size), labels=labels),
        classifier=classifier,
    )


def logits(made: Checkpoint):
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    return reference.run_images(lower(made), pixels, "logits")


def test_program():
    program = lower(checkpoint())
    ops = [instruction.op for instruction in program.instructions]
    assert ops == ["conv2d", "max_pool", *["conv2d"] * (2 + 3 * 3), "pool", "linear"]
    assert program.image_size == (32, 32) and set(program.outputs) == {"image_embedding", "patch_embeddings", "logits"}
    names = [tensor.name for tensor in program.tensors()]
    assert "layer2.0.downsample.0.weight" in names and len(set(names)) == len(names)
    assert set(lower(checkpoint(classifier=False)).outputs) == {"image_embedding", "patch_embeddings"}


@pytest.mark.parametrize("prefix", ["module.", "model.backbone."])
def test_prefixes_change_nothing(prefix):
    renamed = {prefix + name: tensor for name, tensor in resnet_tensors().items()}
    np.testing.assert_array_equal(logits(checkpoint(renamed)), logits(checkpoint()))


def test_timm_names_this_network_the_same():
    made = checkpoint()
    np.testing.assert_array_equal(logits(checkpoint(arch="timm:resnet18")), logits(made))


def changed(**tensors):
    names = {name.replace("__", "."): value for name, value in tensors.items()}
    merged = {**resnet_tensors(), **names}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"layer3__0__bn2__running_mean": None}, r"no weight layer3\.0\.bn2\.running_mean"),
        ({"layer2__0__conv2__weight": None}, r"no weight layer2\.0\.conv2\.weight"),
        ({"layer1__0__conv1__weight": None}, r"must have one layer1\.0\.conv1\.weight"),
        ({"layer1__0__se__fc1__weight": np.ones((2, 4, 1, 1))}, r"would not use: layer1\.0\.se\.fc1\.weight"),
        ({"layer2__1__conv2__weight": np.ones((6, 6, 3, 3))}, r"would not use: layer2\.1\.conv2\.weight"),
        ({"layer2__0__conv1__weight": np.ones((6, 2, 3, 3))}, r"layer2\.0\.conv1\.weight has the shape \[6, 2, 3, 3\]"),
        ({"conv1__weight": np.ones((4, 3, 7, 5))}, r"conv1\.weight .* no square convolution"),
        ({"bn1__running_var": np.array([1, -1, 1, 1], np.float32)}, r"bn1\.running_var has values below 0"),
        ({"bn1__weight": np.array([1, np.inf, 1, 1])}, r"bn1\.weight has values that are not finite"),
        (
            {f"layer4__0__downsample__{each}": None for each in ("0__weight", "1__weight", "1__bias")},
            r"layer4\.0\.conv2 needs a shortcut",
        ),
        ({"fc__weight": None}, r"must have one fc\.weight; it has none"),
        ({"fc__weight": np.ones((CLASSES, 9))}, r"fc\.weight has the shape \[5, 9\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(tensors, message):
    with pytest.raises(ConversionError, match=message):
        lower(checkpoint(changed(**tensors)))


def test_labels_must_fit():
    assert "logits" in lower(checkpoint(labels=tuple("abcde"))).outputs
    with pytest.raises(ConversionError, match="4 labels for the 5 columns of fc"):
        lower(checkpoint(labels=tuple("abcd")))


def test_a_family_refuses_a_library_that_it_has_not():
    made = checkpoint()
    with pytest.raises(ConversionError, match="not known by the names of keras; known: transformers, timm"):
        lower(dataclasses.replace(made, config={**made.config, "library": "keras"}))


def test_blocks_of_another_family_are_refused():
    tensors = {"conv_stem.weight": np.ones((4, 3, 3, 3)), "blocks.0.0.conv_dw.weight": np.ones((4, 1, 3, 3))}
    with pytest.raises(ConversionError, match=r"MobileNetV2 has 7 stages of blocks; .* \[1, 0, 0, 0, 0, 0, 0\]"):
        lower(checkpoint(tensors, "timm:mobilenetv2_100"))


def test_images_that_are_too_small_are_refused():
    tensors = {"stem.0.weight": np.ones((4, 3, 4, 4)), "stem.0.bias": np.ones(4)}
    with pytest.raises(ConversionError, match=r"images of 3 x 9 are too small .* 3 x 9 is left before .* 4 x 4"):
        lower(checkpoint(tensors, "timm:convnext_tiny", size=(3, 9)))


@pytest.mark.parametrize(
    ("config", "anchor", "message"),
    [
        ({"model_type": "resnet", "num_channels": 1}, "embedder.embedder.convolution", "num_channels 1"),
        ({"model_type": "resnet", "hidden_act": "mish"}, "embedder.embedder.convolution", "hidden_act 'mish'"),
        ({"model_type": "mobilenet_v2", "output_stride": 16}, "conv_stem.first_conv.convolution", "output_stride 16"),
        ({"model_type": "efficientnet", "pooling_type": "sum"}, "embeddings.convolution", "pooling_type 'sum'"),
        ({"model_type": "efficientnet", "strides": 2}, "embeddings.convolution", "strides .* list"),
        (
            {"model_type": "efficientnet", "strides": [1, 2]},
            "embeddings.convolution",
            "2 strides .* 7 num_block_repeats",
        ),
        ({"model_type": "convnext", "layer_norm_eps": "small"}, "embeddings.patch_embeddings", "layer_norm_eps"),
    ],
)
def test_configs_of_transformers_that_would_be_wrong_are_refused(config, anchor, message):
    tensors = {f"{anchor}.weight": np.ones((4, 3, 3, 3), np.float32)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        tensors[f"embeddings.batchnorm.{part}"] = np.ones(4, np.float32)
    with pytest.raises(ConversionError, match=message):
        lower(dataclasses.replace(checkpoint(tensors), config=config))


@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride", "pads"),
    # What TensorFlow's documentation of padding "SAME" works out to.
    [
        (224, 224, 3, 2, (0, 0, 1, 1)),
        (225, 225, 3, 2, (1, 1, 1, 1)),
        (224, 225, 5, 2, (1, 2, 2, 2)),
        (7, 9, 3, 1, (1, 1, 1, 1)),
        (8, 8, 1, 2, (0, 0, 0, 0)),
        (1, 1, 5, 2, (2, 2, 2, 2)),
        (2, 3, 7, 4, (2, 2, 3, 2)),
    ],
)
def test_same_padding(height, width, kernel, stride, pads):
    assert same_pads(height, width, kernel, stride) == pads
