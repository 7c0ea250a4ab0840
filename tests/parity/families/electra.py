"""ELECTRA, with embeddings narrower than its layers and as wide; the discriminator and the generator."""

from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining, ElectraModel

from families.case import VOCABULARY, Case, of_transformers

SETTINGS = {
    "vocab_size": VOCABULARY,
    "embedding_size": 24,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
}


def _case(name: str, kind: type = ElectraModel, **changes: object) -> Case:
    return of_transformers(name, lambda: kind(ElectraConfig(**{**SETTINGS, **changes})), ElectraModel)


CASES = (
    _case("narrow embeddings"),
    _case("discriminator, wide embeddings", ElectraForPreTraining, embedding_size=48),
    _case("generator, one type", ElectraForMaskedLM, type_vocab_size=1),
)
