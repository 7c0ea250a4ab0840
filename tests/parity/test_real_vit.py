"""Real weights of DINOv2 on real pictures: fp32 beside transformers, and what int8 costs.

EMBEDRT_TEST_MODELS is a folder with dinov2-small/, EMBEDRT_TEST_DATA one beside images/; else: skipped.
"""

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from test_real_models import required
from transformers import Dinov2Model

from embedrt import _core
from embedrt_convert import writer
from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.quality import cosine
from embedrt_convert.quantize import quantize
from embedrt_convert.quantize_image import quantize_windows
from embedrt_convert.sources import Folder


@pytest.fixture(scope="module", params=[None, (336, 252)], ids=["own-size", "336x252"])
def dinov2(request):
    """(program, pixels, what transformers makes of them), of the processor's size and of another"""
    folder = required("EMBEDRT_TEST_MODELS", "dinov2-small")
    checkpoint = huggingface.read(Folder(folder), image_size=request.param)
    image = checkpoint.image
    files = sorted(required("EMBEDRT_TEST_DATA", "../images").rglob("*.jpg"))
    pictures = [Picture.open(file).convert("RGB").resize((image.width, image.height)) for file in files]
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    values = pixels * np.array(image.scale) + np.array(image.offset)
    with torch.no_grad():
        made = Dinov2Model.from_pretrained(folder).eval()(torch.from_numpy(values).permute(0, 3, 1, 2).float())
    return lower(checkpoint), pixels, made


def run(program, pixels, output, path):
    writer.write(path, [*writer.program_sections(program)])
    return _core.Model(str(path)).run_images(pixels, output)


def test_fp32(dinov2, tmp_path):
    program, pixels, made = dinov2
    for output, expected in {"image_embedding": made.pooler_output, "patch_embeddings": made.last_hidden_state}.items():
        actual = run(program, pixels, output, tmp_path / "m.embedrt")
        assert np.abs(actual - expected.numpy()).max() < 2e-5 * np.abs(expected.numpy()).max()


def test_int8(dinov2, tmp_path):
    program, pixels, made = dinov2
    quantised = quantize(quantize_windows(program, {}), "int8")
    actual = run(quantised, pixels, "image_embedding", tmp_path / "m.embedrt").astype(np.float64)
    cosines = cosine(made.pooler_output.numpy().astype(np.float64), actual)
    assert len(cosines) == 50 and cosines.mean() >= 0.998 and cosines.min() >= 0.993
