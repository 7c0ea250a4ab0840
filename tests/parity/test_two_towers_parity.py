"""Tiny random CLIP and SigLIP models: both towers of transformers beside the program, and what turns them to logits."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers
from image_models import RUNNERS, TEXT_RUNNERS, assert_near, normalised, random_pixels, save, save_tokenizer

from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

TOLERANCE = {"reference": 1e-5, "core": 3e-5}
VOCABULARY, LONGEST, END = 53, 12, 52
VISION = {
    "hidden_size": 24,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 40,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 20,
    "intermediate_size": 33,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": LONGEST,
    "eos_token_id": END,
}


@dataclasses.dataclass
class Case:
    model: str  # of transformers
    config: dict
    size: tuple[int, int] = (40, 40)


CASES = {
    "clip": Case("CLIP", {"text_config": TEXT, "vision_config": VISION, "projection_dim": 14}),
    "clip, gelu": Case(
        "CLIP",
        {
            "text_config": {**TEXT, "hidden_act": "gelu", "eos_token_id": 2},
            "vision_config": {**VISION, "hidden_act": "gelu", "layer_norm_eps": 1e-3},
        },
    ),
    "clip, not square": Case("CLIP", {"text_config": TEXT, "vision_config": VISION}, (56, 36)),
    "siglip": Case("Siglip", {"text_config": {**TEXT, "hidden_size": 24}, "vision_config": VISION}),
    "siglip, projection": Case("Siglip", {"text_config": {**TEXT, "projection_size": 24}, "vision_config": VISION}),
    "siglip, larger": Case(
        "Siglip", {"text_config": {**TEXT, "projection_size": 24}, "vision_config": VISION}, (72, 64)
    ),
}


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(", ", "-").replace(" ", "-"))
def made(request, tmp_path_factory):
    """(case, model of transformers, checkpoint, program, folder)"""
    case = CASES[request.param]
    folder = tmp_path_factory.mktemp("towers")
    kind = getattr(transformers, f"{case.model}Model")
    save(kind(getattr(transformers, f"{case.model}Config")(**case.config)), folder, case.size)
    save_tokenizer(folder, VOCABULARY, LONGEST)
    checkpoint = huggingface.read(Folder(folder))
    return case, kind.from_pretrained(folder).eval(), checkpoint, lower(checkpoint), folder


def vision_of_transformers(model, pixels, interpolate):
    """The outputs of a vision tower, but for the vector."""
    with torch.no_grad():
        made = model(normalised(pixels), interpolate_pos_encoding=interpolate)
    rows = made.last_hidden_state
    if not hasattr(model.embeddings, "class_embedding"):
        return {"patch_mean": rows.mean(dim=1), "patch_embeddings": rows}
    return {"class_token": made.pooler_output, "patch_mean": rows[:, 1:].mean(dim=1), "patch_embeddings": rows}


@pytest.mark.parametrize("runner", RUNNERS)
def test_images(made, runner):
    case, model, _, program, folder = made
    pixels = random_pixels(case.size)
    interpolate = case.size != (40, 40)
    expected = vision_of_transformers(model.vision_model, pixels, interpolate)
    with torch.no_grad():
        features = model.get_image_features(normalised(pixels), interpolate_pos_encoding=interpolate)
    expected["image_embedding"] = features.pooler_output
    assert program.outputs.keys() == expected.keys() | {"sentence_embedding", "token_embeddings"}
    for output, value in expected.items():
        assert_near(RUNNERS[runner](program, pixels, output, folder), value, TOLERANCE[runner])


@pytest.mark.parametrize("runner", TEXT_RUNNERS)
def test_texts(made, runner):
    case, model, _, program, folder = made
    rng = np.random.default_rng(1)
    # CLIP pools at the end of a text, SigLIP at the last of as many as there are positions.
    lengths = [1, 2, 7, LONGEST] if case.model == "CLIP" else [LONGEST] * 3
    for length in lengths:
        ids = rng.integers(3, END, length).astype(np.int32)
        ids[-1] = END
        with torch.no_grad():
            expected = model.get_text_features(torch.from_numpy(ids[None].astype(np.int64)))
        run = TEXT_RUNNERS[runner]
        assert_near(run(program, ids, "sentence_embedding", folder), expected.pooler_output, TOLERANCE[runner])
        assert_near(run(program, ids, "token_embeddings", folder), expected.last_hidden_state[0], TOLERANCE[runner])


def test_only_the_texts_of_siglip_are_filled_up(made):
    case, _, checkpoint, _, _ = made
    assert checkpoint.text.max_tokens == LONGEST
    assert checkpoint.text.pad == (None if case.model == "CLIP" else (0, LONGEST))


def test_logits_of_pairs(made):
    case, model, checkpoint, program, folder = made
    pixels = random_pixels(case.size, count=3)
    ids = np.full((2, LONGEST), END, np.int32)
    ids[0, :-1], ids[1, :-1] = 5, np.arange(10, 9 + LONGEST)
    with torch.no_grad():
        expected = model(
            torch.from_numpy(ids.astype(np.int64)),
            normalised(pixels),
            interpolate_pos_encoding=case.size != (40, 40),
        ).logits_per_image
    images = RUNNERS["reference"](program, pixels, "image_embedding", folder)
    texts = np.concatenate([TEXT_RUNNERS["reference"](program, row, "sentence_embedding", folder) for row in ids])
    cosines = (images @ texts.T) / np.linalg.norm(images, axis=1)[:, None] / np.linalg.norm(texts, axis=1)
    assert checkpoint.image.similarity == checkpoint.text.similarity == "cosine"
    assert (checkpoint.image.logit_bias is None) == (case.model == "CLIP")
    logits = cosines * checkpoint.image.logit_scale + (checkpoint.image.logit_bias or 0)
    assert_near(logits, expected, 1e-5)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("name", ["CLIPVisionModel", "CLIPVisionModelWithProjection", "SiglipVisionModel"])
def test_a_vision_tower_alone(tmp_path, name, runner):
    kind = getattr(transformers, name)
    config = kind.config_class(**VISION, **({} if name.startswith("Siglip") else {"projection_dim": 14}))
    save(kind(config), tmp_path, (48, 32))
    model = kind.from_pretrained(tmp_path).eval()
    program = lower(huggingface.read(Folder(tmp_path)))
    pixels = random_pixels((48, 32))
    with torch.no_grad():
        made = model(normalised(pixels), interpolate_pos_encoding=True)
    tower = model.vision_model if name.endswith("Projection") else model
    expected = vision_of_transformers(tower, pixels, True)
    expected["image_embedding"] = made.image_embeds if name.endswith("Projection") else made.pooler_output
    assert program.outputs.keys() == expected.keys()
    for output, value in expected.items():
        assert_near(RUNNERS[runner](program, pixels, output, tmp_path), value, TOLERANCE[runner])


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_defaults_that_a_config_leaves_out_are_those_of_transformers(kind):
    from embedrt_convert.inputs.image_model import resolved

    model_type = kind.lower()
    config = resolved({"model_type": model_type})
    theirs = getattr(transformers, f"{kind}Config")().to_dict()
    for tower in ("text_config", "vision_config"):
        assert config[tower] == {key: theirs[tower][key] for key in config[tower]}
    assert config.get("projection_dim") == theirs.get("projection_dim")
    alone = getattr(transformers, f"{kind}VisionConfig")().to_dict()
    assert resolved({"model_type": f"{model_type}_vision_model"}).items() <= alone.items()


def test_the_second_object_of_clips_oldest_files():
    from embedrt_convert.inputs.image_model import resolved

    settings = {"text_config": {"hidden_size": 128}, "text_config_dict": {"vocab_size": 100, "hidden_act": "gelu"}}
    theirs = transformers.CLIPConfig(**settings).text_config
    ours = resolved({"model_type": "clip", **settings})["text_config"]
    assert ours == {key: getattr(theirs, key) for key in ours}
