"""Tiny random vision transformers: transformers beside the program, by the reference and by the runtime."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers
from image_models import RUNNERS, assert_near, normalised, random_pixels, save

from embedrt_convert.archs import lower
from embedrt_convert.archs._positions import resized
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

TOLERANCE = {"reference": 1e-5, "core": 3e-5}
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 40, "patch_size": 8}
DINO2 = {**SIZES, "mlp_ratio": 2}
WIDE = {**SIZES, "intermediate_size": 37}
DINO3 = {**WIDE, "num_register_tokens": 4}


@dataclasses.dataclass
class Case:
    model: str  # of transformers
    config: str
    settings: dict
    size: tuple[int, int] = (40, 40)
    prefix: int = 1
    classifier: bool = False


CASES = {
    "vit": Case("ViTModel", "ViTConfig", WIDE),
    "vit, no bias": Case("ViTModel", "ViTConfig", {**WIDE, "qkv_bias": False, "layer_norm_eps": 1e-3}),
    "vit, pooler": Case("ViTModel", "ViTConfig", {**WIDE, "pooler_output_size": 10, "pooler_act": "relu"}),
    "vit, larger": Case("ViTModel", "ViTConfig", WIDE, (72, 72)),
    "vit, smaller": Case("ViTModel", "ViTConfig", {**WIDE, "hidden_act": "gelu_new"}, (24, 24)),
    "vit, not square": Case("ViTModel", "ViTConfig", WIDE, (24, 63)),
    "vit, classes": Case("ViTForImageClassification", "ViTConfig", {**WIDE, "num_labels": 7}, classifier=True),
    "vit, classes left out": Case("ViTForImageClassification", "ViTConfig", {**WIDE, "num_labels": 7}),
    "vit, pretraining": Case("ViTForMaskedImageModeling", "ViTConfig", {**WIDE, "encoder_stride": 8}),
    "deit": Case("DeiTModel", "DeiTConfig", WIDE, prefix=2),
    "deit, larger": Case("DeiTModel", "DeiTConfig", WIDE, (48, 56), prefix=2),
    "deit, classes": Case(
        "DeiTForImageClassification", "DeiTConfig", {**WIDE, "num_labels": 5}, prefix=2, classifier=True
    ),
    "deit, teacher": Case(
        "DeiTForImageClassificationWithTeacher", "DeiTConfig", {**WIDE, "num_labels": 5}, prefix=2, classifier=True
    ),
    "dinov2": Case("Dinov2Model", "Dinov2Config", DINO2),
    "dinov2, smaller": Case("Dinov2Model", "Dinov2Config", DINO2, (24, 24)),
    "dinov2, larger": Case("Dinov2Model", "Dinov2Config", DINO2, (60, 88)),
    "dinov2, swiglu": Case("Dinov2Model", "Dinov2Config", {**DINO2, "use_swiglu_ffn": True}),
    "dinov2, no bias": Case("Dinov2Model", "Dinov2Config", {**DINO2, "qkv_bias": False, "use_mask_token": False}),
    "dinov2, classes": Case(
        "Dinov2ForImageClassification", "Dinov2Config", {**DINO2, "num_labels": 2}, classifier=True
    ),
    "registers": Case("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", DINO2, prefix=5),
    "registers, smaller": Case("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", DINO2, (16, 24), prefix=5),
    "registers, larger": Case("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", DINO2, (72, 56), prefix=5),
    "registers, classes": Case(
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        {**DINO2, "num_labels": 3, "num_register_tokens": 2, "use_swiglu_ffn": True},
        prefix=3,
        classifier=True,
    ),
    "dinov3": Case("DINOv3ViTModel", "DINOv3ViTConfig", DINO3, prefix=5),
    "dinov3, not square": Case("DINOv3ViTModel", "DINOv3ViTConfig", DINO3, (24, 58), prefix=5),
    "dinov3, no registers": Case("DINOv3ViTModel", "DINOv3ViTConfig", WIDE),
    "dinov3, gated": Case("DINOv3ViTModel", "DINOv3ViTConfig", {**DINO3, "use_gated_mlp": True}, prefix=5),
    "dinov3, gated silu": Case(
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        {**DINO3, "use_gated_mlp": True, "hidden_act": "silu", "mlp_bias": False, "rope_theta": 30.0},
        prefix=5,
    ),
    "dinov3, biases": Case(
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        {**DINO3, "query_bias": False, "key_bias": True, "value_bias": False, "proj_bias": False},
        prefix=5,
    ),
    "dinov3, heads of 12": Case(
        "DINOv3ViTModel", "DINOv3ViTConfig", {**DINO3, "num_attention_heads": 2, "patch_size": 4}, prefix=5
    ),
}


def of_transformers(model: torch.nn.Module, pixels: np.ndarray, case: Case) -> dict[str, torch.Tensor]:
    """Every output, as the model defines it."""
    inputs = {"pixel_values": normalised(pixels)}
    if case.model.startswith(("ViT", "DeiT")) and case.size != (40, 40):
        inputs["interpolate_pos_encoding"] = True
    base = model if case.model.endswith("Model") else model.base_model
    with torch.no_grad():
        made = base(**inputs)
        rows = made.last_hidden_state
        pooled = rows[:, 0] if made.pooler_output is None else made.pooler_output
        outputs = {
            "image_embedding": pooled,
            "class_token": rows[:, 0],
            "patch_mean": rows[:, case.prefix :].mean(dim=1),
            "patch_embeddings": rows,
        }
        if case.classifier:
            outputs["logits"] = model(**inputs).logits
    return outputs


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(", ", "-").replace(" ", "-"))
def made(request, tmp_path_factory):
    """(program, pixels, the outputs of transformers, a folder)"""
    case = CASES[request.param]
    folder = tmp_path_factory.mktemp("vit")
    config = getattr(transformers, case.config)(**case.settings)
    # Saved and read again: only so does a model hold what its folder says.
    save(getattr(transformers, case.model)(config), folder, case.size)
    model = getattr(transformers, case.model).from_pretrained(folder).eval()
    program = lower(huggingface.read(Folder(folder), classifier=case.classifier))
    pixels = random_pixels(case.size)
    return program, pixels, of_transformers(model, pixels, case), folder


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_output_is_that_of_transformers(made, runner):
    program, pixels, expected, folder = made
    assert program.outputs.keys() == expected.keys()
    for output, value in expected.items():
        assert_near(RUNNERS[runner](program, pixels, output, folder), value, TOLERANCE[runner])


def test_another_size_than_the_processors(tmp_path):
    save(transformers.Dinov2Model(transformers.Dinov2Config(**DINO2)), tmp_path, (40, 40))
    program = lower(huggingface.read(Folder(tmp_path), image_size=(56, 32)))
    model = transformers.Dinov2Model.from_pretrained(tmp_path).eval()
    pixels = random_pixels((56, 32))
    expected = of_transformers(model, pixels, CASES["dinov2"])["patch_embeddings"]
    actual = RUNNERS["reference"](program, pixels, "patch_embeddings", tmp_path)
    assert_near(actual, expected, TOLERANCE["reference"])


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("grid", [(7, 7), (14, 9), (3, 25), (1, 2), (5, 16), (37, 16)])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 37])
def test_positions_are_interpolated_as_torch_does(side, grid, antialias):
    table = np.random.default_rng(side).normal(size=(side * side, 3)).astype(np.float32)
    square = torch.from_numpy(table.astype(np.float64)).reshape(1, side, side, 3).permute(0, 3, 1, 2)
    torch_grid = torch.nn.functional.interpolate(
        square, size=grid, mode="bicubic", align_corners=False, antialias=antialias
    )
    expected = torch_grid[0].permute(1, 2, 0).reshape(-1, 3).numpy()
    np.testing.assert_allclose(resized(table, *grid, antialias=antialias), expected, rtol=0, atol=1e-6)
