"""Segments and windows beside transformers: its token vectors pooled by NumPy, then sentence-transformers' layers."""

import numpy as np
import pytest
import torch
from random_models import save_bert
from sentence_transformers import SentenceTransformer, models
from transformers import AutoModel, AutoTokenizer

import embedrt
from embedrt_convert import convert

HIDDEN = 36
LIMIT = 24
WORDS = "the of and hello world password how do is my cat dog ran on mat"
TEXT = f"{WORDS.title()}. {WORDS} {WORDS}! How do cats run, {WORDS}?"
SPANS = [(0, 9), (10, 40), (0, len(TEXT)), (20, 130), (60, 61), (len(TEXT) - 9, len(TEXT))]
POOLINGS = {
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0),
    "sum": lambda rows: rows.sum(0),
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the folder of an encoder, the layers behind its pooling, the model)."""
    folder = tmp_path_factory.mktemp("bert")
    save_bert(
        folder / "bert",
        hidden_size=HIDDEN,
        num_attention_heads=3,
        num_hidden_layers=2,
        intermediate_size=50,
        max_position_embeddings=96,
    )
    torch.manual_seed(3)
    behind = [models.Dense(HIDDEN, 21), models.Normalize()]
    peer = SentenceTransformer(
        modules=[models.Transformer(str(folder / "bert")), models.Pooling(HIDDEN, "cls"), *behind], device="cpu"
    )
    peer.max_seq_length = LIMIT
    peer.save(str(folder / "saved"))
    return folder / "bert", behind, embedrt.load(convert(folder / "saved", folder / "m.embedrt", quant="fp32").path)


def rows_of(folder, ids) -> np.ndarray:
    """The encoder's token vectors, special ones included."""
    encoder = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        return encoder(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()


def finished(behind, pooled) -> np.ndarray:
    features = {"sentence_embedding": torch.tensor(np.array(pooled), dtype=torch.float32)}
    with torch.no_grad():
        for layer in behind:
            features = layer(features)
    return features["sentence_embedding"].numpy()


def tokens_of(folder):
    found = AutoTokenizer.from_pretrained(folder)(TEXT, return_offsets_mapping=True)
    return found["input_ids"], np.array(found["offset_mapping"])


def test_tokens(made):
    folder, _, model = made
    ids, places = tokens_of(folder)
    found = model.encode_tokens(TEXT, on_long="late")
    assert found.ids.tolist() == ids and len(ids) > LIMIT
    np.testing.assert_array_equal(found.offsets, places)
    np.testing.assert_allclose(found.embeddings, rows_of(folder, ids), rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_late_chunking(made, pooling):
    folder, behind, model = made
    ids, places = tokens_of(folder)
    rows = rows_of(folder, ids)
    pooled = [POOLINGS[pooling](rows[(places[:, 0] < end) & (places[:, 1] > start)]) for start, end in SPANS]
    found = model.encode_segments(TEXT, SPANS, pooling=pooling)
    np.testing.assert_allclose(found.embeddings, finished(behind, pooled), rtol=0, atol=2e-5)


def test_windows(made):
    """The windows' vectors as sentence-transformers' layers make them, averaged by their tokens."""
    folder, behind, model = made
    ids, _ = tokens_of(folder)
    content = ids[1:-1]
    room = LIMIT - 2
    starts = [
        start for start in range(0, len(content), room - room // 4) if start == 0 or start + room // 4 < len(content)
    ]
    parts = [content[start : start + room] for start in starts]
    vectors = finished(behind, [rows_of(folder, [ids[0], *part, ids[-1]])[0] for part in parts])
    mean = np.average(vectors.astype(np.float64), axis=0, weights=list(map(len, parts)))
    found, info = model.encode(TEXT, on_long="window", return_info=True)
    assert info.windows == {0: len(parts)} and len(parts) > 2
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), rtol=0, atol=2e-5)
