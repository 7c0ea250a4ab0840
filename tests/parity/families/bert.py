"""BERT, as transformers saves it: the encoder alone, and inside of a model with a head. More in test_bert_parity.py."""

from transformers import BertConfig, BertForMaskedLM, BertModel

from families.case import VOCABULARY, Case, of_transformers


def _case(name: str, kind: type = BertModel, **changes: object) -> Case:
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 80,
        "max_position_embeddings": 64,
        **changes,
    }
    return of_transformers(name, lambda: kind(BertConfig(**settings)), BertModel)


CASES = (
    _case("plain"),
    _case("under a masked language model", BertForMaskedLM, hidden_act="gelu_new", type_vocab_size=1),
)
