"""What the families with rotary positions, and Jina's with ALiBi, refuse by name."""

import numpy as np
import pytest

from embedrt_convert import archs
from embedrt_convert.archs import Encoder, jina_bert, modernbert
from embedrt_convert.archs._weights import Weights
from embedrt_convert.builder import IDS, Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Pooling, Text

BERT = {
    "vocab_size": 20,
    "hidden_size": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
    "type_vocab_size": 1,
}
MODERNBERT = {**BERT, "model_type": "modernbert", "local_attention": 8}
NOMIC = {
    "model_type": "nomic_bert",
    "vocab_size": 20,
    "n_embd": 12,
    "n_head": 2,
    "n_layer": 2,
    "n_inner": 16,
    "n_positions": 32,
    "activation_function": "swiglu",
    "rotary_emb_fraction": 1.0,
}
NOMIC_AS_BERT = {**BERT, "model_type": "nomic_bert"}
GTE = {**BERT, "model_type": "new", "rope_theta": 10000.0}
JINA_2 = {**BERT, "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "geglu"}
TASKS = ["retrieval.query", "separation"]
JINA_3 = {
    **BERT,
    "model_type": "xlm-roberta",
    "position_embedding_type": "rotary",
    "rotary_emb_base": 20000.0,
    "lora_adaptations": TASKS,
    "lora_rank": 2,
    "lora_alpha": 1,
}


def lower(config, tensors=(), task=None):
    words = {"modernbert": "embeddings.tok_embeddings.weight"}.get(
        config["model_type"], "embeddings.word_embeddings.weight"
    )
    tensors = {words: np.zeros((20, 12), np.float32), **dict(tensors)}
    text = Text(tokenizer="{}", max_tokens=8)
    return archs.lower(Checkpoint(config, tensors, text, (Pooling("mean"),), "unknown", task=task))


REFUSED = [
    (MODERNBERT, {"local_attention": 1}, "local_attention 1"),
    (MODERNBERT, {"layer_types": ["full_attention"]}, "layer_types, 2 of"),
    (MODERNBERT, {"layer_types": ["full_attention", "chunked_attention"]}, "chunked_attention"),
    (MODERNBERT, {"global_attn_every_n_layers": 0}, "global_attn_every_n_layers"),
    (MODERNBERT, {"rope_parameters": {"rope_theta": 10.0}}, "rope_parameters for 'rope_theta'"),
    (MODERNBERT, {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_parameters of type 'yarn'"),
    (MODERNBERT, {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling of type 'linear'"),
    (MODERNBERT, {"global_rope_theta": "far"}, "global_rope_theta"),
    (MODERNBERT, {"num_attention_heads": 4}, "heads of 3 columns"),
    *((NOMIC, {key: True}, key) for key in ("prenorm", "causal", "parallel_block", "use_rms_norm", "norm_mlp")),
    (NOMIC, {"rotary_head_dim": True}, "rotary_head_dim"),
    (NOMIC, {"rotary_emb_scale_base": 512}, "rotary_emb_scale_base"),
    (NOMIC, {"num_heads_kv": 1}, "num_heads_kv"),
    (NOMIC, {"num_experts": 8}, "num_experts 8: a mixture of experts"),
    (NOMIC, {"moe_every_n_layers": 2}, "moe_every_n_layers 2: a mixture of experts"),
    (NOMIC, {"rotary_emb_fraction": 0.0}, "rotary_emb_fraction 0"),
    (NOMIC, {"rotary_emb_fraction": 0.5}, "rotary_emb_fraction 0.5: 3.0 of a head's 6 columns"),
    (NOMIC, {"activation_function": "gelu_new"}, "activation_function 'gelu_new'"),
    (NOMIC, {"n_inner": None}, "n_inner"),
    (NOMIC, {"n_head": 5}, "n_embd 12"),
    (NOMIC_AS_BERT, {"head_dim": 8}, "head_dim"),
    (NOMIC_AS_BERT, {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
    (GTE, {"position_embedding_type": "absolute"}, "position_embedding_type"),
    (GTE, {"logn_attention_scale": True}, "logn_attention_scale"),
    (GTE, {"layer_norm_type": "none"}, "layer_norm_type 'none'"),
    (GTE, {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling of type 'linear'"),
    (GTE, {"rope_scaling": {"type": "ntk", "factor": 2.0, "mixed_b": 0.6}}, "mixed_b 0.6"),
    (JINA_2, {"feed_forward_type": "swiglu"}, "feed_forward_type 'swiglu'"),
    (JINA_2, {"is_decoder": True}, "is_decoder"),
    (JINA_3, {"rotary_emb_interleaved": True}, "rotary_emb_interleaved"),
    (JINA_3, {"rotary_emb_scale_base": 512}, "rotary_emb_scale_base"),
    (JINA_3, {"rotary_emb_dim": 4}, "rotary_emb_dim"),
    (JINA_3, {"lora_adaptations": "separation"}, "lora_adaptations 'separation'"),
]


@pytest.mark.parametrize(("config", "change", "named"), REFUSED, ids=[named for _, _, named in REFUSED])
def test_what_changes_the_maths_is_refused_by_name(config, change, named):
    with pytest.raises(ConversionError, match=named):
        lower({**config, **change})


def test_a_limit_by_rotations_is_said():
    def notes(**changes):
        return archs.notes(Checkpoint({**NOMIC, "n_positions": 8192, **changes}, {}, None, (), "unknown"))

    assert not notes(rotary_scaling_factor=None)
    assert not notes(rotary_scaling_factor=2, max_trained_positions=8192)
    (note,) = notes(rotary_scaling_factor=2)
    assert "longer texts than 2048 tokens" in note and "rotary_scaling_factor" in note
    assert not archs.notes(Checkpoint(NOMIC_AS_BERT, {}, None, (), "unknown"))


def test_norms_of_queries_are_refused():
    with pytest.raises(ConversionError, match=r"layer\.0\.attention\.self\.layer_norm_q\.weight"):
        lower(JINA_2, {"encoder.layer.0.attention.self.layer_norm_q.weight": np.ones(12)})


def test_alibi_is_not_berts():
    assert jina_bert.serves(JINA_2) and not jina_bert.serves({**JINA_2, "position_embedding_type": "absolute"})


def test_a_classifier_of_another_pooling_is_refused():
    program = Program(20, 32)
    rows = program.op("lookup", IDS, name="words", table=np.zeros((20, 12), np.float32))
    encoder = Encoder(program, rows, 12, Weights({"a": np.zeros(1)}, anchor="a", ignored=()))
    with pytest.raises(ConversionError, match="classifier_pooling 'max'"):
        modernbert.classifier(encoder, {**MODERNBERT, "classifier_pooling": "max"}, 2)


@pytest.mark.parametrize("config", [MODERNBERT, NOMIC, GTE, JINA_2])
def test_a_task_of_a_model_without_any_is_refused(config):
    with pytest.raises(ConversionError, match=r"task 'separation' is not among the model's: it has none"):
        lower(config, task="separation")


def test_an_unknown_task_is_refused():
    with pytest.raises(ConversionError, match=r"'retrieval' is not among the model's: retrieval\.query, separation"):
        lower(JINA_3, task="retrieval")


def test_a_task_without_adapters_is_refused():
    with pytest.raises(ConversionError, match="no adapters, so none for the task separation"):
        lower(JINA_3, task="separation")


WORDS = "embeddings.word_embeddings.parametrizations.weight"


@pytest.mark.parametrize(
    ("a", "b", "named"),
    [
        ((2, 20, 2), None, r"no embeddings\.word_embeddings\.parametrizations\.weight\.0\.lora_A and"),
        ((2, 2, 12), (2, 20, 2), r"lora_A \[2, 2, 12\] and .*lora_B \[2, 20, 2\] do not fit \[20, 12\]"),
        ((20, 2), (2, 12), r"do not fit \[20, 12\]"),
        ((1, 20, 2), (1, 2, 12), r"do not fit \[20, 12\]"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(a, b, named):
    tensors = {f"{WORDS}.original": np.zeros((20, 12), np.float32), f"{WORDS}.0.lora_A": np.zeros(a, np.float32)}
    if b is not None:
        tensors[f"{WORDS}.0.lora_B"] = np.zeros(b, np.float32)
    checkpoint = Checkpoint(JINA_3, tensors, None, (), "unknown", task="separation")
    with pytest.raises(ConversionError, match=named):
        archs.lower(checkpoint)
