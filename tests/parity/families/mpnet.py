"""MPNet, with texts beyond the last bucket of distances."""

from transformers import MPNetConfig, MPNetForMaskedLM, MPNetModel

from families.case import VOCABULARY, Case, of_transformers

SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 202,
}


def _case(name: str, kind: type = MPNetModel, **changes: object) -> Case:
    return of_transformers(name, lambda: kind(MPNetConfig(**{**SETTINGS, **changes})), MPNetModel, longest=200)


CASES = (
    _case("plain"),
    _case("under a masked language model", MPNetForMaskedLM, hidden_act="relu", num_attention_heads=3),
)
