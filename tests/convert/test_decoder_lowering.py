"""Lowerings of families that text generators gave: what is refused by name, and what layers share."""

from __future__ import annotations

import numpy as np
import pytest
from decoder_checkpoints import HIDDEN, KEYS, NORMS, QUERIES, checkpoint

from embedrt_convert.archs import lower
from embedrt_convert.errors import ConversionError


def of(program, op):
    return [each for each in program.instructions if each.op == op]


@pytest.mark.parametrize("model_type", NORMS)
def test_layers_that_turn_alike_share_their_tables(model_type):
    changes = {"layer_types": ["sliding_attention", "full_attention"]} if model_type == "gemma3_text" else {}
    program = lower(checkpoint(model_type, **changes))
    tables = {id(each.tensors[role]) for each in of(program, "rope") for role in ("cos", "sin")}
    assert len(tables) == (4 if model_type == "gemma3_text" else 2)
    same = lower(checkpoint(model_type, layer_types=["full_attention"] * 2))
    assert len({id(each.tensors["cos"]) for each in of(same, "rope")}) == 1


@pytest.mark.parametrize("model_type", NORMS)
def test_keys_and_values_stand_once_in_the_program(model_type):
    program = lower(checkpoint(model_type))
    for op in ("head_norm", "rope", "attention"):
        assert [(each.attributes["heads"], each.attributes["kv_heads"]) for each in of(program, op)] == [(4, 2)] * 2
    assert of(program, "linear")[0].tensors["weight"].data.shape == (QUERIES + 2 * KEYS, HIDDEN)


def windows(model_type, **changes):
    return [
        (each.attributes["mask"], each.attributes["window"])
        for each in of(lower(checkpoint(model_type, **changes)), "attention")
    ]


def test_windows_count_what_their_family_counts():
    kinds = {"layer_types": ["sliding_attention", "full_attention"]}
    assert windows("qwen3") == [("causal", 0)] * 2
    assert windows("qwen3", use_sliding_window=True, max_window_layers=1) == [("causal", 0), ("causal", 7)]
    assert windows("qwen3", use_sliding_window=True, **kinds) == [("causal", 7), ("causal", 0)]
    assert windows("gemma3_text", **kinds) == [("causal", 7), ("causal", 0)]
    assert windows("gemma3_text", use_bidirectional_attention=True, **kinds) == [("none", 4), ("none", 0)]
    assert windows("gemma3_text", sliding_window_pattern=2) == [("causal", 7), ("causal", 0)]


def test_angles_come_from_newer_and_older_keys():
    def turned(**changes):
        first, second = of(lower(checkpoint("gemma3_text", sliding_window_pattern=2, **changes)), "rope")
        return first.tensors["cos"].data[1, 1], second.tensors["cos"].data[1, 1]

    newer = {"sliding_attention": {"rope_theta": 100.0}, "full_attention": {"rope_type": "default", "rope_theta": 8.0}}
    wanted = np.cos(100.0 ** (-1 / 3)), np.cos(8.0 ** (-1 / 3))
    np.testing.assert_allclose(turned(rope_parameters=newer), wanted, rtol=1e-6)
    np.testing.assert_allclose(turned(rope_local_base_freq=100.0, rope_theta=8.0), wanted, rtol=1e-6)
    defaults = np.cos(1e4 ** (-1 / 3)), np.cos(1e6 ** (-1 / 3))
    np.testing.assert_allclose(turned(), defaults, rtol=1e-6)


REFUSED = {
    "num_key_value_heads 3, which does not divide num_attention_heads 4": ("qwen3", {"num_key_value_heads": 3}),
    "is_causal False; only True": ("qwen3", {"is_causal": False}),
    "layer_types with sliding_attention, and use_sliding_window false": (
        "qwen3",
        {"layer_types": ["full_attention", "sliding_attention"]},
    ),
    "must have sliding_window, a whole number above 0; it has None": (
        "qwen3",
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": None},
    ),
    "sliding_window 1; it must be at least 2": ("gemma3_text", {"sliding_window": 1}),
    "layer_types, full_attention or sliding_attention for each of 2": (
        "gemma3_text",
        {"layer_types": ["full_attention"]},
    ),
    "sliding_attention for each of 2 layers": ("qwen3", {"layer_types": ["full_attention", "chunked_attention"]}),
    "rope_scaling": ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}),
    "rope_parameters of type 'yarn'": ("qwen3", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}),
    "rope_parameters of full_attention and sliding_attention": (
        "gemma3_text",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    ),
    "attn_logit_softcapping": ("gemma3_text", {"attn_logit_softcapping": 50.0}),
    "use_bidirectional_attention 'vision'": ("gemma3_text", {"use_bidirectional_attention": "vision"}),
    "heads of 5 columns": ("qwen3", {"head_dim": 5}),
    "the model implies": ("qwen3", {"head_dim": 8}),
    "no weight layers.0.self_attn.q_proj.bias": ("qwen3", {"attention_bias": True}),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_what_would_come_out_wrong_is_refused(problem):
    model_type, changes = REFUSED[problem]
    with pytest.raises(ConversionError, match=problem):
        lower(checkpoint(model_type, **changes))
