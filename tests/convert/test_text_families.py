"""Families that are BERT by other names or with one change: renamed, BERT's weights give BERT's vectors. And T5."""

from __future__ import annotations

import re

import numpy as np
import pytest
from checkpoints import (
    HEADS,
    HIDDEN,
    INNER,
    POSITIONS,
    VOCABULARY,
    Tensors,
    bert_config,
    bert_tensors,
    t5,
    write_bert,
    write_json,
)

import embedrt
from embedrt_convert import convert, reference, writer
from embedrt_convert.archs import families, lower
from embedrt_convert.archs._post_norm import WORDS, embeddings
from embedrt_convert.archs._transformer import Transformer
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Pooling, Text
from embedrt_convert.quantize import quantize

IDS = np.array([2, 7, 31, 9, 3, 2, 3, 2, 40, 3], np.int32)
OFFSETS = np.array([0, 5, 7, 10])
TYPES = "embeddings.token_type_embeddings.weight"
PLACES = "embeddings.position_embeddings.weight"
DISTANCES = "encoder.relative_attention_bias.weight"

DISTILBERT = {
    r"encoder\.layer": "transformer.layer",
    r"attention\.self\.query": "attention.q_lin",
    r"attention\.self\.key": "attention.k_lin",
    r"attention\.self\.value": "attention.v_lin",
    r"attention\.output\.dense": "attention.out_lin",
    r"attention\.output\.LayerNorm": "sa_layer_norm",
    r"intermediate\.dense": "ffn.lin1",
    r"(\d)\.output\.dense": r"\1.ffn.lin2",
    r"(\d)\.output\.LayerNorm": r"\1.output_layer_norm",
}
MPNET = {
    r"attention\.self\.query": "attention.attn.q",
    r"attention\.self\.key": "attention.attn.k",
    r"attention\.self\.value": "attention.attn.v",
    r"attention\.output\.dense": "attention.attn.o",
    r"attention\.output\.LayerNorm": "attention.LayerNorm",
}
ALBERT = {
    r"encoder\.layer\.(\d)": r"encoder.albert_layer_groups.0.albert_layers.\1",
    r"attention\.self": "attention",
    r"attention\.output": "attention",
    r"intermediate\.dense": "ffn",
    r"(\d)\.output\.dense": r"\1.ffn_output",
    r"(\d)\.output\.LayerNorm": r"\1.full_layer_layer_norm",
}


def checkpoint(config, tensors, max_tokens=24) -> Checkpoint:
    return Checkpoint(config, tensors, Text("{}", max_tokens), (Pooling("mean"),), "unknown")


def vectors(config, tensors):
    return reference.run(lower(checkpoint(config, tensors)), IDS, OFFSETS, "token_embeddings")


def bert() -> Tensors:
    """Without types, which not every family has."""
    return {**bert_tensors(), TYPES: np.zeros((2, HIDDEN), np.float32)}


def renamed(names: dict[str, str]) -> Tensors:
    tensors = bert()
    for old, new in names.items():
        tensors = {re.sub(old, new, name): value for name, value in tensors.items()}
    return tensors


def later_positions(tensors: Tensors, first: int) -> Tensors:
    """With rows before the first one that are no text's."""
    return {**tensors, PLACES: np.concatenate([np.full((first, HIDDEN), 9, np.float32), tensors[PLACES]])}


def family(model_type: str) -> tuple[dict, Tensors]:
    """config.json and weights that compute what `bert()` does."""
    if model_type == "roberta":
        made = later_positions(bert(), 2)
        return bert_config(model_type="roberta", pad_token_id=1, max_position_embeddings=POSITIONS + 2), made
    if model_type == "distilbert":
        made = renamed(DISTILBERT)
        del made[TYPES]
        sizes = {"dim": HIDDEN, "n_heads": HEADS, "hidden_dim": INNER, "n_layers": 2, "activation": "gelu"}
        return {"model_type": "distilbert", "vocab_size": len(VOCABULARY), "max_position_embeddings": 40, **sizes}, made
    if model_type == "mpnet":
        made = later_positions(renamed(MPNET), 2)
        del made[TYPES]
        made[DISTANCES] = np.full((32, HEADS), 0.5, np.float32)  # the same for every key: softmax takes it out
        return bert_config(model_type="mpnet", max_position_embeddings=POSITIONS + 2), made
    if model_type == "electra":
        return bert_config(model_type="electra", embedding_size=HIDDEN), bert()
    made = renamed(ALBERT)
    made["encoder.embedding_hidden_mapping_in.weight"] = np.eye(HIDDEN, dtype=np.float32)
    made["encoder.embedding_hidden_mapping_in.bias"] = np.zeros(HIDDEN, np.float32)
    sizes = {"embedding_size": HIDDEN, "num_hidden_layers": 1, "inner_group_num": 2}
    return bert_config(model_type="albert", **sizes), made


@pytest.mark.parametrize("prefix", ["", "encoder_of_a_head."])
@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "mpnet", "electra", "albert"])
def test_bert_by_other_names(model_type, prefix):
    config, tensors = family(model_type)
    actual = vectors(config, {prefix + name: value for name, value in tensors.items()})
    np.testing.assert_allclose(actual, vectors(bert_config(), bert()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("model_type", "head"),
    [
        ("roberta", "lm_head.dense.weight"),
        ("roberta", "classifier.out_proj.bias"),
        ("roberta", "pooler.dense.weight"),
        ("distilbert", "vocab_projector.bias"),
        ("distilbert", "pre_classifier.weight"),
        ("mpnet", "qa_outputs.weight"),
        ("electra", "discriminator_predictions.dense.weight"),
        ("electra", "generator_lm_head.bias"),
        ("albert", "pooler.weight"),
        ("albert", "sop_classifier.classifier.weight"),
        ("albert", "predictions.decoder.bias"),
    ],
)
def test_heads_are_left_aside_and_other_weights_are_not(model_type, head):
    config, tensors = family(model_type)
    lower(checkpoint(config, {**tensors, head: np.ones(3, np.float32)}))
    with pytest.raises(ConversionError, match=r"would not use: adapter\.weight"):
        lower(checkpoint(config, {**tensors, "adapter.weight": np.ones(3, np.float32)}))


@pytest.mark.parametrize(
    ("model_type", "change", "message"),
    [
        ("roberta", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("roberta", {"is_decoder": True}, "is_decoder"),
        ("roberta", {"pad_token_id": None}, "pad_token_id None"),
        ("roberta", {"pad_token_id": POSITIONS + 1}, "pad_token_id 41"),
        ("roberta", {"max_position_embeddings": POSITIONS}, r"position_embeddings\.weight has the shape"),
        ("distilbert", {"n_heads": 5}, "dim 36, which 5 attention heads"),
        ("distilbert", {"hidden_dim": None}, "must have hidden_dim"),
        ("distilbert", {"activation": "laplace"}, "activation 'laplace'"),
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets 64"),
        ("mpnet", {"max_position_embeddings": 2}, "max_position_embeddings 2"),
        ("electra", {"embedding_size": None}, "must have embedding_size"),
        ("electra", {"embedding_size": 24}, r"has the shape \[.*36\]; the model implies"),
        ("albert", {"num_hidden_groups": 2, "num_hidden_layers": 2}, r"no weight encoder\.albert_layer_groups\.1\."),
        ("albert", {"inner_group_num": 1}, r"would not use: .*albert_layers\.1\."),
        ("albert", {"num_hidden_groups": 0}, "num_hidden_groups"),
    ],
)
def test_what_changes_the_maths_is_refused_by_name(model_type, change, message):
    config, tensors = family(model_type)
    with pytest.raises(ConversionError, match=message):
        lower(checkpoint({**config, **change}, tensors))


@pytest.mark.parametrize("types", [None, np.array([0, 0, 1, 1, 1, 0, 1, 0, 0, 1], np.int32)])
@pytest.mark.parametrize("typed", [False, True])
def test_types_of_tokens(typed, types):
    tensors = bert_tensors()
    config = bert_config()
    weights = Weights(tensors, anchor=WORDS, ignored=(r"encoder\..*",))
    program = Program(len(VOCABULARY), POSITIONS)
    layers = Transformer.of(program, weights, config, 1e-12)
    program.outputs = {"token_embeddings": embeddings(layers, config, typed=typed)}
    weights.finish()
    places = np.concatenate([np.arange(length) for length in np.diff(OFFSETS)])
    of_tokens = types if typed and types is not None else np.zeros(len(IDS), int)
    x = (tensors[WORDS][IDS] + tensors[PLACES][places] + tensors[TYPES][of_tokens]).astype(np.float64)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    expected = x * tensors["embeddings.LayerNorm.weight"] + tensors["embeddings.LayerNorm.bias"]
    actual = reference.run(program, IDS, OFFSETS, "token_embeddings", types=types)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_one_type_needs_no_table():
    config, tensors = bert_config(type_vocab_size=1), bert_tensors()
    tensors[TYPES] = tensors[TYPES][:1]
    program = Program(len(VOCABULARY), POSITIONS)
    layers = Transformer.of(program, Weights(tensors, anchor=WORDS, ignored=()), config, 1e-12)
    embeddings(layers, config, typed=True)
    assert [instruction.attributes.get("index") for instruction in program.instructions[:2]] == ["token", "position"]
    assert [instruction.op for instruction in program.instructions[2:]] == ["add", "norm"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generator_lm_head.weight": np.ones((len(VOCABULARY), HIDDEN))}, r"generator_lm_head\.weight differs"),
        ({"generator_lm_head.bias": None}, r"no weight generator_lm_head\.bias"),
        ({"generator_predictions.dense.weight": np.ones((8, HIDDEN))}, r"dense\.weight has the shape \[8, 36\]"),
    ],
)
def test_a_head_of_masked_language_models_is_whole_and_tied(change, message):
    config, tensors = family("electra")
    head = {
        "generator_predictions.dense.weight": np.ones((HIDDEN, HIDDEN)),
        "generator_predictions.dense.bias": np.ones(HIDDEN),
        "generator_predictions.LayerNorm.weight": np.ones(HIDDEN),
        "generator_predictions.LayerNorm.bias": np.ones(HIDDEN),
        "generator_lm_head.bias": np.ones(len(VOCABULARY)),
    }
    electra = families()["electra"]
    electra.vocabulary_logits(electra.lower(checkpoint(config, {**tensors, **head})), config)
    changed = {name: value for name, value in {**head, **change}.items() if value is not None}
    with pytest.raises(ConversionError, match=message):
        electra.vocabulary_logits(electra.lower(checkpoint(config, {**tensors, **changed})), config)


def test_a_file_takes_texts_as_long_as_there_are_positions_for(tmp_path):
    config, tensors = family("roberta")
    folder = write_bert(tmp_path / "roberta", tensors=tensors, **config)
    model = embedrt.load(convert(folder, tmp_path / "m.embedrt", quant="fp32").path)
    assert model.max_tokens == POSITIONS == config["max_position_embeddings"] - 2
    _, info = model.encode(["hello world " * POSITIONS], return_info=True)
    assert info.truncated_texts == (0,)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_albert_of_more_layers_has_no_more_bytes_of_weights(precision):
    def sections(layers: int) -> list[int]:
        config, tensors = family("albert")
        program = lower(checkpoint({**config, "num_hidden_layers": layers}, tensors))
        return [len(section.content) for section in writer.program_sections(quantize(program, precision))]

    (one_program, one), (twelve_program, twelve) = sections(1), sections(12)
    assert twelve == one
    assert one_program < twelve_program < 16 * one_program


def test_t5_takes_texts_as_long_as_its_tokenizer_makes_them():
    program = lower(checkpoint(*t5(), max_tokens=77))
    assert program.max_tokens == 77
    (table,) = (tensor for tensor in program.tensors() if tensor.name == "layer.0.distances.bias")
    assert table.data.shape == (HEADS, 2 * 77 - 1)


@pytest.mark.parametrize(
    ("stated", "tokens", "notes"),
    [
        ({"model_max_length": 100}, 100, []),
        ({"model_max_length": 10**30}, 512, ["how long a text may be: at most 512 tokens (--max-tokens)"]),
        ({}, 512, ["how long a text may be: at most 512 tokens (--max-tokens)"]),
    ],
)
def test_a_limit_that_nothing_states_is_512_and_said(tmp_path, stated, tokens, notes):
    config, tensors = t5()
    folder = write_bert(tmp_path / "t5", tensors=tensors, modules=[("Pooling", {"pooling_mode_mean_tokens": True})])
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", stated)
    said: list[str] = []
    path = convert(folder, tmp_path / "m.embedrt", quant="fp32", progress=said.append).path
    assert embedrt.load(path).max_tokens == tokens
    assert [note.partition("says ")[2] for note in said if note.startswith("note: ")] == notes
    path = convert(folder, tmp_path / "m.embedrt", quant="fp32", max_tokens=600).path
    assert embedrt.load(path).max_tokens == 600


def test_t5_has_one_table_of_words_by_either_name():
    config, tensors = t5()
    expected = vectors(config, tensors)
    words = tensors["shared.weight"]
    np.testing.assert_array_equal(vectors(config, {**tensors, "encoder.embed_tokens.weight": words}), expected)
    with pytest.raises(ConversionError, match=r"shared\.weight and encoder\.embed_tokens\.weight are not the same"):
        lower(checkpoint(config, {**tensors, "encoder.embed_tokens.weight": words + 1}))
    tensors["encoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    np.testing.assert_array_equal(vectors(config, tensors), expected)
    del tensors["encoder.embed_tokens.weight"]
    with pytest.raises(ConversionError, match=r"no weight shared\.weight"):
        lower(checkpoint(config, tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feed_forward_proj": "gated-laplace"}, "feed_forward_proj 'laplace'"),
        ({"feed_forward_proj": "gated-gelu"}, r"no weight .*wi_0\.weight"),
        ({"d_kv": 9}, r"SelfAttention\.q\.weight has the shape \[24, 36\]; the model implies \[27, 36\]"),
        ({"relative_attention_num_buckets": 30}, "30 relative_attention_num_buckets"),
        ({"relative_attention_max_distance": 8}, "32 relative_attention_num_buckets for distances to 8"),
        ({"num_layers": 2}, r"no weight encoder\.block\.1\."),
        ({"model_type": "umt5", "num_layers": 2}, r"no weight encoder\.block\.1\..*relative_attention_bias"),
        ({"is_decoder": True}, "is_decoder"),
    ],
)
def test_what_changes_t5_is_refused_by_name(change, message):
    with pytest.raises(ConversionError, match=message):
        lower(checkpoint(*t5(**change)))
