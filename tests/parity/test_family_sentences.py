"""Checkpoints of families as sentence-transformers saves them, converted and encoded, beside its own vectors."""

from __future__ import annotations

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import torch
from family_files import ALL
from sentence_transformers import SentenceTransformer, models

import embedrt
from embedrt_convert import convert

COLUMNS = 48
TEXTS = [
    "",
    "a",
    "Hello, WORLD. How do cats run?",
    "the cat ran on the mat and the dog is on my password",
    "the of and " * 30,
]
# As published: all-mpnet-base-v2, paraphrase-multilingual, msmarco-distilbert, paraphrase-albert, sentence-t5.
CASES = {
    "mpnet: plain": [models.Normalize()],
    "roberta: plain": [],
    "distilbert: plain": [models.Dense(COLUMNS, 20, activation_function=torch.nn.Tanh())],
    "albert: plain": [],
    "electra: narrow embeddings": [models.Normalize()],
    "nomic_bert: transformers' config": [models.Normalize()],
    "gte: transformers' config": [models.Normalize()],
    "t5: plain": [models.Dense(COLUMNS, 32, bias=False, activation_function=torch.nn.Identity()), models.Normalize()],
}


@pytest.mark.parametrize("name", CASES)
def test_sentence_vectors(name, tmp_path):
    ALL[name].save(tmp_path / "plain")
    encoder = models.Transformer(str(tmp_path / "plain"), max_seq_length=60)
    model = SentenceTransformer(modules=[encoder, models.Pooling(COLUMNS, "mean"), *CASES[name]], device="cpu")
    model.save(str(tmp_path / "saved"))
    made = embedrt.load(convert(tmp_path / "saved", tmp_path / "m.embedrt", quant="fp32").path)
    assert made.max_tokens == 60
    with pytest.warns(embedrt.TruncationWarning):
        actual = made.encode(TEXTS)
    np.testing.assert_allclose(actual, model.encode(TEXTS), rtol=0, atol=2e-5)
