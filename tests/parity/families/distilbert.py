"""DistilBERT, with learned and with sinusoidal positions."""

from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertModel

from families.case import VOCABULARY, Case, of_transformers

SETTINGS = {
    "vocab_size": VOCABULARY,
    "dim": 48,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 80,
    "max_position_embeddings": 64,
}


def _case(name: str, kind: type = DistilBertModel, **changes: object) -> Case:
    return of_transformers(name, lambda: kind(DistilBertConfig(**{**SETTINGS, **changes})), DistilBertModel)


CASES = (
    _case("plain"),
    _case("sinusoidal positions, under a classifier", DistilBertForSequenceClassification, sinusoidal_pos_embds=True),
    _case("relu", activation="relu", n_heads=3),
)
