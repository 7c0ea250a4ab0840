"""RoBERTa and its kin, with positions that begin after padding's id: alone, and inside of models with heads."""

from transformers import (
    CamembertConfig,
    CamembertForSequenceClassification,
    CamembertModel,
    Data2VecTextConfig,
    Data2VecTextModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from families.case import VOCABULARY, Case, of_transformers

# As the published checkpoints have it: 66 rows of positions for texts of 64 tokens, and one type.
SETTINGS = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}


def _case(name: str, kind: type, config: type, read: type, **changes: object) -> Case:
    return of_transformers(name, lambda: kind(config(**{**SETTINGS, **changes})), read)


CASES = (
    _case("plain", RobertaModel, RobertaConfig, RobertaModel),
    _case("padding is id 0", RobertaModel, RobertaConfig, RobertaModel, pad_token_id=0, max_position_embeddings=65),
    _case("two types, a masked language model", RobertaForMaskedLM, RobertaConfig, RobertaModel, type_vocab_size=2),
    _case("XLM-RoBERTa", XLMRobertaModel, XLMRobertaConfig, XLMRobertaModel, hidden_act="gelu_new"),
    _case("CamemBERT under a classifier", CamembertForSequenceClassification, CamembertConfig, CamembertModel),
    _case("data2vec", Data2VecTextModel, Data2VecTextConfig, Data2VecTextModel),
)
