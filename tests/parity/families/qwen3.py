"""Qwen3, whose rows see the rows before them, with groups of queries of every kind."""

from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

from families.case import VOCABULARY, Case, of_transformers


def _case(name: str, kind: type = Qwen3Model, **changes: object) -> Case:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 80,
        "max_position_embeddings": 128,
        **changes,
    }
    return of_transformers(name, lambda: kind(Qwen3Config(**settings)), Qwen3Model)


CASES = (
    _case("plain", rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0}),
    _case("under a language model", Qwen3ForCausalLM, num_key_value_heads=4, head_dim=20, attention_bias=True),
    _case(
        "one key for all, sliding layers",
        num_key_value_heads=1,
        use_sliding_window=True,
        sliding_window=9,
        max_window_layers=1,
    ),
)
