"""What the families' heads append to their encoders: ...ForSequenceClassification and ...ForMaskedLM."""

from __future__ import annotations

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import torch
import transformers
from families import albert, distilbert, electra, gte, jina_embeddings_v3, modernbert, mpnet, nomic_bert, roberta
from families.case import FIRST_ID, VOCABULARY, randomise, save_tokenizer
from family_files import largest_difference, ragged

from embedrt_convert import archs, reference
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

LABELS = 3
TEXTS = [np.random.default_rng(n).integers(FIRST_ID, VOCABULARY, n).tolist() for n in (1, 2, 9, 60)]
CASES = {
    "Roberta": roberta.SETTINGS,
    "XLMRoberta": roberta.SETTINGS,
    "Camembert": roberta.SETTINGS,
    "Data2VecText": roberta.SETTINGS,
    "DistilBert": distilbert.SETTINGS,
    "MPNet": mpnet.SETTINGS,
    "Electra": electra.SETTINGS,
    "Albert": albert.SETTINGS,
    "ModernBert": modernbert.SETTINGS,
    "NomicBert": nomic_bert.SETTINGS,
    "Gte": gte.SETTINGS,
    "JinaEmbeddingsV3": jina_embeddings_v3.SETTINGS,
}


def saved(tmp_path, name, kind, **settings):
    """A random model of transformers, and the checkpoint and the family of its folder."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**CASES[name], **settings)
    model = getattr(transformers, f"{name}For{kind}")(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    checkpoint = huggingface.read(Folder(tmp_path))
    return model, checkpoint, archs.families()[checkpoint.config["model_type"]]


def logits(model):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0].numpy() for ids in TEXTS]


@pytest.mark.parametrize("name", CASES)
def test_logits_of_classifiers(name, tmp_path):
    model, checkpoint, family = saved(tmp_path, name, "SequenceClassification", num_labels=LABELS)
    encoder = family.lower(checkpoint)
    encoder.program.outputs = {"logits": family.classifier(encoder, checkpoint.config, LABELS)}
    encoder.weights.finish()
    actual = reference.run(encoder.program, *ragged(TEXTS), "logits")
    assert actual.shape == (len(TEXTS), LABELS)
    assert largest_difference(np.array(logits(model)), actual) <= 2e-5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", [name for name in CASES if name != "DistilBert"])
def test_scores_of_the_vocabulary(name, tied, tmp_path):
    model, checkpoint, family = saved(tmp_path, name, "MaskedLM", tie_word_embeddings=tied)
    encoder = family.lower(checkpoint)
    encoder.program.outputs = {"scores": family.vocabulary_logits(encoder, checkpoint.config)}
    encoder.weights.finish()
    actual = reference.run(encoder.program, *ragged(TEXTS), "scores")
    assert actual.shape == (sum(map(len, TEXTS)), VOCABULARY)
    assert largest_difference(np.concatenate(logits(model)), actual) <= 2e-5
