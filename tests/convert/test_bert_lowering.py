"""What the BERT lowering takes, ignores and refuses."""

import numpy as np
import pytest
from checkpoints import HIDDEN, VOCABULARY, bert_config, bert_tensors

from embedrt_convert import reference
from embedrt_convert.archs import families, lower
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Dense, Normalize, Pooling, Text

IDS = np.array([2, 7, 31, 9, 3, 2, 3, 2, 40, 3], np.int32)
OFFSETS = np.array([0, 5, 7, 10])
SENTENCE_BERT = (Pooling("mean"), Normalize())


def checkpoint(tensors=None, modules=SENTENCE_BERT, **config) -> Checkpoint:
    return Checkpoint(
        config=bert_config(**config),
        tensors=bert_tensors() if tensors is None else tensors,
        text=Text(tokenizer="{}", max_tokens=24),
        modules=modules,
        licence="unknown",
    )


def vectors(made: Checkpoint, output="sentence_embedding"):
    return reference.run(lower(made), IDS, OFFSETS, output)


def test_program():
    program = lower(checkpoint())
    ops = [instruction.op for instruction in program.instructions]
    layer = ["linear", "attention", "linear", "norm", "linear", "linear", "norm"]
    assert ops == ["lookup", "lookup", "add", "norm", *layer, *layer, "pool", "normalize"]
    assert (program.vocabulary, program.max_tokens) == (len(VOCABULARY), 40)
    names = [tensor.name for tensor in program.tensors()]
    assert names[:2] == ["embeddings.word.table", "embeddings.position.table"]
    assert "layer.1.ffn_in.weight" in names and len(set(names)) == len(names)
    assert vectors(checkpoint()).shape == (3, HIDDEN)
    assert vectors(checkpoint(), "token_embeddings").shape == (len(IDS), HIDDEN)


@pytest.mark.parametrize("prefix", ["bert.", "0.auto_model.", "model."])
def test_prefixes_change_nothing(prefix):
    np.testing.assert_array_equal(vectors(checkpoint(bert_tensors(prefix=prefix))), vectors(checkpoint()))


def test_old_norm_names_change_nothing():
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in bert_tensors().items()
    }
    np.testing.assert_array_equal(vectors(checkpoint(tensors)), vectors(checkpoint()))


def test_known_unneeded_weights_are_ignored():
    tensors = bert_tensors(prefix="bert.")
    tensors["bert.pooler.dense.weight"] = np.ones((HIDDEN, HIDDEN), np.float32)
    tensors["bert.embeddings.position_ids"] = np.arange(40)[None]
    tensors["cls.predictions.bias"] = np.zeros(len(VOCABULARY), np.float32)
    np.testing.assert_array_equal(vectors(checkpoint(tensors)), vectors(checkpoint()))


def test_a_left_over_weight_is_named():
    tensors = {**bert_tensors(), "encoder.layer.2.output.dense.weight": np.ones((36, 52), np.float32)}
    with pytest.raises(ConversionError, match=r"would not use: encoder\.layer\.2\.output\.dense\.weight"):
        lower(checkpoint(tensors))


def test_a_classifier_is_left_over():
    tensors = {**bert_tensors(prefix="bert."), "classifier.weight": np.ones((1, 36), np.float32)}
    with pytest.raises(ConversionError, match="classifier"):
        lower(checkpoint(tensors))


def test_an_unset_weight_is_named():
    tensors = bert_tensors(prefix="bert.")
    del tensors["bert.encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(ConversionError, match=r"no weight bert\.encoder\.layer\.1\.attention\.self\.key\.bias"):
        lower(checkpoint(tensors))


def test_a_wrong_shape_is_named():
    with pytest.raises(
        ConversionError, match=r"layer\.0\.intermediate\.dense\.weight has the shape \[52, 36\].*\[60, 36\]"
    ):
        lower(checkpoint(intermediate_size=60))


def test_a_weight_that_is_not_finite_is_named():
    tensors = bert_tensors()
    tensors["encoder.layer.0.output.dense.bias"][3] = np.nan
    with pytest.raises(ConversionError, match=r"encoder\.layer\.0\.output\.dense\.bias .* not finite"):
        lower(checkpoint(tensors))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("pruned_heads", {"0": [1]}),
        ("hidden_act", "laplace"),
        ("num_attention_heads", 5),
        ("num_hidden_layers", 0),
        ("vocab_size", None),
        ("model_type", "gpt2"),
        ("layer_norm_eps", "tiny"),
    ],
)
def test_what_changes_the_maths_is_refused_by_name(key, value):
    with pytest.raises(ConversionError, match=key.replace("num_attention_heads", "attention heads")):
        lower(checkpoint(**{key: value}))


def test_two_encoders_are_refused():
    tensors = {**bert_tensors(prefix="query."), **bert_tensors(prefix="document.")}
    with pytest.raises(ConversionError, match=r"query\..*document\."):
        lower(checkpoint(tensors))


def test_half_precision_weights_are_read():
    half = {name: value.astype(np.float16) for name, value in bert_tensors().items()}
    full = {name: value.astype(np.float32) for name, value in half.items()}
    np.testing.assert_array_equal(vectors(checkpoint(half)), vectors(checkpoint(full)))


def test_dense_modules():
    rng = np.random.default_rng(3)
    weight, bias, down = rng.normal(size=(36, 36)), rng.normal(size=36), rng.normal(size=(8, 36))
    pooled = vectors(checkpoint(modules=(Pooling("first"),)))
    first = Dense("2_Dense", weight, bias, "tanh", "input")
    y = np.tanh(pooled @ weight.T + bias) + pooled
    np.testing.assert_allclose(vectors(checkpoint(modules=(Pooling("first"), first))), y, atol=1e-5)
    second = Dense("3_Dense", down, None, "relu", 2 * down)
    z = np.maximum(y @ down.T, 0) + y @ (2 * down).T
    np.testing.assert_allclose(vectors(checkpoint(modules=(Pooling("first"), first, second))), z, atol=1e-4)


@pytest.mark.parametrize(
    "dense",
    [
        Dense("2_Dense", np.ones((8, 30)), None, "none"),
        Dense("2_Dense", np.ones((8, 36)), np.ones(9), "none"),
        Dense("2_Dense", np.ones((8, 36)), None, "none", "input"),
        Dense("2_Dense", np.ones((8, 36)), None, "none", np.ones((8, 8))),
    ],
)
def test_a_dense_module_that_does_not_fit_is_refused(dense):
    with pytest.raises(ConversionError, match="2_Dense"):
        lower(checkpoint(modules=(Pooling("mean"), dense)))


def test_families_are_found():
    assert families()["bert"].__name__ == "embedrt_convert.archs.bert"
