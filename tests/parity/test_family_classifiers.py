"""The logits of every family's ...ForSequenceClassification, from what its `classifier` appends to the encoder."""

from __future__ import annotations

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import torch
import transformers
from families import albert, distilbert, electra, mpnet, roberta
from families.case import FIRST_ID, VOCABULARY, randomise, save_tokenizer
from family_files import largest_difference, ragged

from embedrt_convert import archs, reference
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

LABELS = 3
CASES = {
    "Roberta": roberta.SETTINGS,
    "XLMRoberta": roberta.SETTINGS,
    "Camembert": roberta.SETTINGS,
    "Data2VecText": roberta.SETTINGS,
    "DistilBert": distilbert.SETTINGS,
    "MPNet": mpnet.SETTINGS,
    "Electra": electra.SETTINGS,
    "Albert": albert.SETTINGS,
}


@pytest.mark.parametrize("name", CASES)
def test_logits(name, tmp_path):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**CASES[name], num_labels=LABELS)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    texts = [np.random.default_rng(n).integers(FIRST_ID, VOCABULARY, n).tolist() for n in (1, 2, 9, 60)]
    with torch.no_grad():
        expected = np.concatenate([model(input_ids=torch.tensor([ids])).logits.numpy() for ids in texts])

    checkpoint = huggingface.read(Folder(tmp_path))
    family = archs.families()[checkpoint.config["model_type"]]
    encoder = family.lower(checkpoint)
    encoder.program.outputs = {"logits": family.classifier(encoder, checkpoint.config, LABELS)}
    encoder.weights.finish()
    actual = reference.run(encoder.program, *ragged(texts), "logits")
    assert actual.shape == (len(texts), LABELS)
    assert largest_difference(expected, actual) <= 2e-5
