"""Peers on images compute what the checkpoint computes: a transformer's folder, and weights under another's names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cpu_torchvision  # noqa: F401  (before timm and torchvision)
import numpy as np
import pytest
import timm
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from embedrt._patterns import pattern
from embedrt_bench.images import checkpoint as checkpoints
from embedrt_bench.images import engines, samples
from embedrt_bench.images.engines import onnxruntime, openvino

SIZE = 36
SECTION = {"resize": None, "resample": "bicubic", "crop": None, "height": SIZE, "width": SIZE}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
Truth = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Made = tuple[checkpoints.ImageCheckpoint, Truth]


def truth_of(network: Callable[[torch.Tensor], torch.Tensor], mean: list[float], std: list[float]) -> Truth:
    """uint8 [n, h, w, 3] → float32 [n, d], with the arithmetic of the images' own processors."""

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        tensor = (tensor - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        with torch.no_grad():
            return network(tensor).numpy()

    return run


def dinov2(root: Path) -> Made:
    """With factors for each channel, and positions of another size than the images are."""
    config = transformers.Dinov2Config(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=48, patch_size=6, initializer_range=0.1
    )
    model = transformers.Dinov2Model(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lambda1" in name or "position" in name:
                weight.uniform_(0.5, 1.5)
    model.save_pretrained(root)
    steps = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD}
    (root / "preprocessor_config.json").write_text(json.dumps(steps), "utf-8")
    return checkpoints.read(root, "", (SIZE, SIZE)), truth_of(lambda x: model(x).pooler_output, MEAN, STD)


def efficientnet_lite(root: Path) -> Made:
    """TensorFlow's padding, which is on one side only where the stride is two; weights by another author's names."""
    network = timm.create_model("tf_efficientnet_lite0")
    mean, std = [127 / 255] * 3, [128 / 255] * 3
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over what follows
            module.reset_running_stats()
    truth_of(network.train(), mean, std)(np.stack([pattern(number, SIZE, SIZE) for number in range(16)]))
    network.eval()
    root.mkdir()
    weights = {f"theirs.{number}": value for number, value in enumerate(network.state_dict().values())}
    torch.save(weights, root / "weights.pth")
    read = checkpoints.read(root / "weights.pth", "efficientnet_pytorch:efficientnet-lite0", (SIZE, SIZE))

    def pooled(x: torch.Tensor) -> torch.Tensor:
        return network.forward_head(network.forward_features(x), pre_logits=True)

    return read, truth_of(pooled, mean, std)


@pytest.mark.parametrize(("make", "least"), [(dinov2, 0.97), (efficientnet_lite, 0.75)])
def test_peers_compute_the_checkpoint(make: Callable[[Path], Made], least: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint, truth = make(tmp_path / "checkpoint")
    (tmp_path / "pictures").mkdir()
    for number in range(16):
        Image.fromarray(pattern(number, SIZE, SIZE)).save(tmp_path / "pictures" / f"{number:02d}.png")
    pictures = samples.find(tmp_path / "pictures", tmp_path)
    files = [file.read_bytes() for file in pictures.measured]
    expected = truth(np.stack([pattern(number, SIZE, SIZE) for number in range(0, 16, 2)]))

    cache = tmp_path / "cache"
    peers = [engine.prepare(checkpoint, cache, pictures, SECTION) for engine in (onnxruntime, openvino)]
    reference = onnxruntime.reference(checkpoint, cache, SECTION)
    assert len(list(cache.iterdir())) == 3  # one export serves all, and nothing else is left behind
    (ort_int8, ort_fp32), (ov_int8, ov_float) = peers
    assert Path(ort_int8.model).stat().st_size < Path(ort_fp32.model).stat().st_size / 2
    assert Path(ov_int8.model).with_suffix(".bin").stat().st_size < Path(ov_float.model).stat().st_size / 2

    scale = np.abs(expected).max()
    for contestant in (reference, ort_int8, ort_fp32, ov_int8, ov_float):
        for threads in (1, 2):
            encoder = engines.load(contestant, threads)
            prepared: Any = encoder.prepare(files)
            for batch_size in (1, 3, 8):
                vectors = encoder.encode(prepared, batch_size)
                np.testing.assert_array_equal(encoder.encode_files(files, batch_size), vectors)
                if contestant in (reference, ort_fp32):
                    np.testing.assert_allclose(vectors, expected, atol=1e-4 * scale)
                else:  # random convolutions amplify what rounding changes
                    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
                    assert (np.sum(vectors * expected, axis=1) / lengths).min() > least
