"""Gemma3's text model: rows that see each other both ways, as in EmbeddingGemma, or the ones before them."""

from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Gemma3TextModel

from families.case import VOCABULARY, Case, of_transformers


def _case(name: str, kind: type = Gemma3TextModel, **changes: object) -> Case:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "intermediate_size": 80,
        "max_position_embeddings": 128,
        "query_pre_attn_scalar": 20,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        **changes,
    }
    return of_transformers(name, lambda: kind(Gemma3TextConfig(**settings)), Gemma3TextModel)


CASES = (
    _case("both ways", use_bidirectional_attention=True),
    _case("both ways, an odd window", use_bidirectional_attention=True, sliding_window=21, num_key_value_heads=3),
    _case("causal, under a language model", Gemma3ForCausalLM, layer_types=None, num_hidden_layers=7),
)
