"""Folders of vision transformers: what is read and lowered, and what is refused by name."""

import json

import numpy as np
import pytest
from checkpoints import VOCABULARY, write_bert, write_json, write_modules
from image_checkpoints import HIDDEN, IMAGE, linear, vit_config, vit_tensors, write_vit
from safetensors.numpy import save_file

from embedrt_convert import reference
from embedrt_convert.archs import lower, takes_images
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.huggingface import read
from embedrt_convert.sources import Folder


def vectors(checkpoint, output="image_embedding"):
    image = checkpoint.image
    pixels = np.random.default_rng(5).integers(0, 256, (2, image.height, image.width, 3), np.uint8)
    return reference.run_images(lower(checkpoint), pixels, output)


def with_head(classes, prefix="vit."):
    head = {f"classifier.{key}": np.ones(shape, np.float32) for key, shape in (("weight", (classes, HIDDEN)),)}
    return {**vit_tensors(prefix=prefix, pooler=False), **head, "classifier.bias": np.arange(classes, dtype=np.float32)}


def test_program(tmp_path):
    checkpoint = read(Folder(write_vit(tmp_path)))
    assert checkpoint.text is None and checkpoint.modules == () and not checkpoint.notes
    program = lower(checkpoint)
    layer = ["norm", "linear", "attention", "linear", "norm", "linear", "linear"]
    ops = [instruction.op for instruction in program.instructions]
    assert ops == ["conv2d", "place", *layer, *layer, "norm", "pool", "pool", "linear"]
    assert (program.vocabulary, program.max_tokens, program.image_size) == (0, 0, (IMAGE, IMAGE))
    assert set(program.outputs) == {"image_embedding", "class_token", "patch_mean", "patch_embeddings"}
    names = [tensor.name for tensor in program.tensors()]
    assert "layer.1.ffn_in.weight" in names and len(set(names)) == len(names)
    assert vectors(checkpoint).shape == (2, HIDDEN)


def test_without_a_pooler_it_is_the_class_token_and_that_is_said(tmp_path):
    checkpoint = read(Folder(write_vit(tmp_path, tensors=vit_tensors(pooler=False))))
    assert "no pooler" in checkpoint.notes[0]
    np.testing.assert_array_equal(vectors(checkpoint), vectors(checkpoint, "class_token"))


def test_a_prefix_changes_nothing(tmp_path):
    one = read(Folder(write_vit(tmp_path / "a")))
    other = read(Folder(write_vit(tmp_path / "b", tensors=vit_tensors(prefix="vit."))))
    np.testing.assert_array_equal(vectors(one), vectors(other))


def test_a_classifier_is_kept_when_asked_for(tmp_path):
    names = {"0": "cat", "1": "dog", "2": "neither"}
    folder = Folder(write_vit(tmp_path, tensors=with_head(3), id2label=names))
    plain, kept = read(folder), read(folder, classifier=True)
    assert plain.image.labels is None and "logits" not in lower(plain).outputs
    assert kept.image.labels == ("cat", "dog", "neither")
    token = vectors(kept, "class_token")
    np.testing.assert_allclose(vectors(kept, "logits"), token.sum(axis=1)[:, None] + np.arange(3), atol=1e-5)


def test_classes_without_names_are_two(tmp_path):
    assert read(Folder(write_vit(tmp_path, tensors=with_head(2))), classifier=True).image.labels == (
        "LABEL_0",
        "LABEL_1",
    )


def test_a_classifier_that_is_not_there_is_missed(tmp_path):
    with pytest.raises(ConversionError, match=r"no weight classifier\.weight"):
        lower(read(Folder(write_vit(tmp_path)), classifier=True))


@pytest.mark.parametrize("names", [{"0": "cat", "2": "dog"}, {"a": "cat"}, {"0": 1}])
def test_names_of_classes_go_from_0_on(tmp_path, names):
    with pytest.raises(ConversionError, match="id2label"):
        read(Folder(write_vit(tmp_path, id2label=names)), classifier=True)


def test_another_image_size(tmp_path):
    folder = Folder(write_vit(tmp_path))
    checkpoint = read(folder, image_size=(64, 44))
    assert lower(checkpoint).image_size == (64, 44)
    assert vectors(checkpoint, "patch_embeddings").shape == (2 * (1 + 8 * 5), HIDDEN)
    with pytest.raises(ConversionError, match="7 x 40 has no patch of 8 x 8"):
        lower(read(folder, image_size=(7, 40)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_channels", 1),
        ("patch_size", [8, 4]),
        ("image_size", [40, 48]),
        ("hidden_act", "laplace"),
        ("num_attention_heads", 5),
        ("num_hidden_layers", 0),
        ("is_decoder", True),
        ("layer_norm_eps", "tiny"),
        ("pooler_act", "laplace"),
    ],
)
def test_what_changes_the_maths_is_refused_by_name(tmp_path, key, value):
    with pytest.raises(ConversionError, match=key.replace("num_attention_heads", "attention heads")):
        lower(read(Folder(write_vit(tmp_path, **{key: value}))))


def test_a_left_over_weight_is_named(tmp_path):
    tensors = {**vit_tensors(), "encoder.layer.0.layer_scale1.lambda1": np.ones(HIDDEN, np.float32)}
    with pytest.raises(ConversionError, match=r"would not use: encoder\.layer\.0\.layer_scale1\.lambda1"):
        lower(read(Folder(write_vit(tmp_path, tensors=tensors))))


def test_positions_that_are_not_those_of_the_trained_size_are_named(tmp_path):
    with pytest.raises(ConversionError, match=r"position_embeddings has the shape \[1, 26, 24\].*\[1, 37, 24\]"):
        lower(read(Folder(write_vit(tmp_path, image_size=48))))


def test_modules_after_a_model_of_images_are_refused(tmp_path):
    write_modules(write_vit(tmp_path), [("Normalize", {})])
    with pytest.raises(ConversionError, match=r"modules\.json"):
        read(Folder(tmp_path))


def test_texts_have_no_image_size(tmp_path):
    folder = Folder(write_bert(tmp_path))
    for options in ({"image_size": (224, 224)}, {"classifier": True}):
        with pytest.raises(ConversionError, match="not a model of images"):
            read(folder, **options)
    assert not takes_images("bert") and not takes_images(None) and takes_images("dinov2")


def clip_folder(path, **config):
    """A CLIP with the sizes of `vit_config`, and BERT's tokenizer for tests."""
    write_bert(path)
    tower = {key: value for key, value in vit_config(**config).items() if key != "model_type"}
    text = {**tower, "vocab_size": len(VOCABULARY), "max_position_embeddings": 16}
    settings = {"model_type": "clip", "projection_dim": 10, "vision_config": tower, "text_config": text}
    write_json(path / "config.json", settings)
    write_json(path / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})
    shapes = {
        "logit_scale": (),
        "vision_model.embeddings.class_embedding": (HIDDEN,),
        "vision_model.embeddings.patch_embedding.weight": (HIDDEN, 3, 8, 8),
        "vision_model.embeddings.position_embedding.weight": (26, HIDDEN),
        "text_model.embeddings.token_embedding.weight": (len(VOCABULARY), HIDDEN),
        "text_model.embeddings.position_embedding.weight": (16, HIDDEN),
        **{f"{name}_projection.weight": (10, HIDDEN) for name in ("text", "visual")},
        **linear("vision_model.pre_layrnorm", HIDDEN),
        **linear("vision_model.post_layernorm", HIDDEN),
        **linear("text_model.final_layer_norm", HIDDEN),
    }
    for at in ("vision_model.encoder.layers", "text_model.encoder.layers"):
        for layer in range(2):
            for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                shapes |= linear(f"{at}.{layer}.self_attn.{part}", HIDDEN, HIDDEN)
            shapes |= linear(f"{at}.{layer}.mlp.fc1", 37, HIDDEN) | linear(f"{at}.{layer}.mlp.fc2", HIDDEN, 37)
            shapes |= linear(f"{at}.{layer}.layer_norm1", HIDDEN) | linear(f"{at}.{layer}.layer_norm2", HIDDEN)
    save_file({name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}, path / "model.safetensors")
    return Folder(path)


def test_two_towers_in_a_folder(tmp_path):
    checkpoint = read(clip_folder(tmp_path))
    assert checkpoint.text.max_tokens == 16 and checkpoint.text.similarity == "cosine"
    assert checkpoint.image.logit_scale == pytest.approx(np.exp(0.5)) and checkpoint.image.logit_bias is None
    assert (checkpoint.image.height, checkpoint.image.width) == (224, 224)
    program = lower(checkpoint)
    assert (program.vocabulary, program.max_tokens, program.image_size) == (len(VOCABULARY), 16, (224, 224))
    assert {"image_embedding", "sentence_embedding", "token_embeddings"} <= program.outputs.keys()
    names = [tensor.name for tensor in program.tensors()]
    assert len(set(names)) == len(names)


def test_two_towers_have_no_classifier(tmp_path):
    with pytest.raises(ConversionError, match="classifier of model_type clip"):
        lower(read(clip_folder(tmp_path), classifier=True))


def test_two_towers_need_their_scale(tmp_path):
    folder = clip_folder(tmp_path)
    save_file({"logit_bias": np.ones(1, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ConversionError, match="must have logit_scale"):
        read(folder)


def test_a_tower_that_is_not_an_object(tmp_path):
    folder = clip_folder(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    write_json(tmp_path / "config.json", {**settings, "text_config": [1]})
    with pytest.raises(ConversionError, match="text_config"):
        read(folder)
