"""ALBERT: all layers the same; layers in groups; groups of several layers."""

from transformers import AlbertConfig, AlbertForMaskedLM, AlbertModel

from families.case import VOCABULARY, Case, of_transformers

SETTINGS = {
    "vocab_size": VOCABULARY,
    "embedding_size": 24,
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}


def _case(name: str, kind: type = AlbertModel, **changes: object) -> Case:
    return of_transformers(name, lambda: kind(AlbertConfig(**{**SETTINGS, **changes})), AlbertModel)


CASES = (
    _case("plain"),
    _case("two groups", num_hidden_groups=2, num_hidden_layers=5),
    _case("groups of two", AlbertForMaskedLM, inner_group_num=2, num_hidden_groups=2, hidden_act="gelu"),
)
