"""Classification heads beside sentence_transformers.CrossEncoder: scores of pairs and texts, and rankings."""

from __future__ import annotations

import json
import random
import warnings

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import torch
import transformers
from families import albert, distilbert, electra, gte, modernbert, mpnet, nomic_bert, roberta
from families.case import VOCABULARY, randomise, save_tokenizer
from sentence_transformers import CrossEncoder

import embedrt
from embedrt._golden import check_golden
from embedrt_convert import ConversionError, convert

BERT = roberta.SETTINGS | {"max_position_embeddings": 64, "layer_norm_eps": 1e-12, "type_vocab_size": 2}
CASES = {
    "Bert": BERT,
    "Roberta": roberta.SETTINGS,
    "XLMRoberta": roberta.SETTINGS,
    "Electra": electra.SETTINGS | {"type_vocab_size": 2},
    "DistilBert": distilbert.SETTINGS,
    "MPNet": mpnet.SETTINGS,
    "Albert": albert.SETTINGS | {"type_vocab_size": 2},
    "ModernBert": modernbert.SETTINGS | {"classifier_pooling": "mean"},
    "NomicBert": nomic_bert.SETTINGS | {"type_vocab_size": 2},
    "Gte": gte.SETTINGS | {"type_vocab_size": 2},
}


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count))


def ragged_pairs() -> list[tuple[str, str]]:
    """Empty texts, short ones, and pairs over the limit: the first, the second or both too long."""
    rng = random.Random(3)
    lengths = [(1, 1), (0, 3), (5, 0), (7, 20), (20, 7), (29, 30), (100, 3), (3, 100), (100, 90), (31, 31), (90, 100)]
    return [(words(rng, one), words(rng, two)) for one, two in lengths]


def save(folder, name: str, labels: int, typed: bool | None = None, **settings):
    typed = CASES[name].get("type_vocab_size", 1) > 1 if typed is None else typed
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**CASES[name], num_labels=labels, **settings)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    randomise(model)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    if name == "ModernBert":  # it has no class of its own for a vocab.txt
        made = transformers.BertTokenizer.from_pretrained(folder)
        kinds = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        special = {kind: getattr(made, kind) for kind in kinds}
        transformers.PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, **special).save_pretrained(folder)
        (folder / "vocab.txt").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"model_max_length": 64}
    if not typed:  # as the tokenizers of these families have it
        settings |= {"model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def converted(folder, path, quant="fp32", **options) -> embedrt.Model:
    return embedrt.load(convert(folder, path, quant=quant).path, **options)


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cross")
    save(folder, request.param, 1)
    return CrossEncoder(str(folder), device="cpu"), folder, convert(folder, folder / "fp32.embedrt", quant="fp32").path


def quiet(call, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", embedrt.TruncationWarning)
        return call(*args, **options)


def test_scores_of_pairs(both):
    peer, _, path = both
    pairs = ragged_pairs()
    expected, logits = (
        np.asarray(peer.predict(pairs, activation_fn=fn, batch_size=3)) for fn in (None, torch.nn.Identity())
    )
    for threads in (1, 2):
        model = embedrt.load(path, threads=threads)
        np.testing.assert_allclose(quiet(model.classify, pairs)[:, 0], expected, rtol=0, atol=2e-5)
        actual = quiet(model.classify, pairs, activation="none")
        np.testing.assert_allclose(actual[:, 0], logits, rtol=0, atol=1e-4)
        # One by one, to the bit.
        alone = np.stack([quiet(model.classify, pair, activation="none") for pair in pairs])
        assert alone.tobytes() == actual.tobytes()
        _, info = model.classify(pairs, return_info=True)
        lengths = [len(each) for each in peer.tokenizer([a for a, _ in pairs], [b for _, b in pairs]).input_ids]
        assert info.truncated_texts == tuple(index for index, length in enumerate(lengths) if length > 64)
        assert info.truncated_tokens == sum(max(length - 64, 0) for length in lengths)
    assert check_golden(model) is not None


def test_int8_is_close(both, tmp_path):
    peer, folder, _ = both
    pairs = ragged_pairs()
    expected = np.asarray(peer.predict(pairs, activation_fn=torch.nn.Identity()))
    actual = quiet(converted(folder, tmp_path / "a.embedrt", "int8").classify, pairs, activation="none")[:, 0]
    assert np.abs(actual - expected).max() <= 0.5 * expected.std()


def test_rankings(both):
    peer, _, path = both
    model = embedrt.load(path)
    rng = random.Random(5)
    documents = [words(rng, rng.randint(0, 40)) for _ in range(30)]
    documents[7] = documents[3]  # a tie
    for top_k in (None, 5):
        expected = peer.rank("what is that", documents, top_k=top_k, return_documents=True)
        actual = model.rerank("what is that", documents, top_k=top_k, return_documents=True)
        assert [each["corpus_id"] for each in actual] == [each["corpus_id"] for each in expected]
        assert [each["text"] for each in actual] == [each["text"] for each in expected]
        np.testing.assert_allclose(
            [each["score"] for each in actual], [each["score"] for each in expected], rtol=0, atol=2e-5
        )


def test_as_sentence_transformers_saves_it(both, tmp_path):
    peer, _, path = both
    peer.save_pretrained(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "modules.json").exists()
    one, other = embedrt.load(path), converted(tmp_path / "saved", tmp_path / "a.embedrt")
    pairs = ragged_pairs()
    assert quiet(one.classify, pairs).tobytes() == quiet(other.classify, pairs).tobytes()


@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_labels_of_texts_and_pairs(problem, tmp_path):
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    save(tmp_path, "Bert", 3, id2label=names, label2id={name: i for i, name in names.items()}, problem_type=problem)
    peer, model = CrossEncoder(str(tmp_path), device="cpu"), converted(tmp_path, tmp_path / "a.embedrt")
    activation = {
        None: None,
        "single_label_classification": torch.nn.Softmax(dim=-1),
        "multi_label_classification": torch.nn.Sigmoid(),
    }[problem]
    pairs = ragged_pairs()
    assert model.labels == tuple(names.values())
    expected = np.asarray(peer.predict(pairs, activation_fn=activation))
    np.testing.assert_allclose(quiet(model.classify, pairs), expected, rtol=0, atol=1e-4)
    with pytest.raises(embedrt.InputError, match="scores for 3 labels"):
        model.rerank("a", ["b"])

    if problem is not None:
        # As the pipeline of transformers has it for single texts.
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
        pipeline = transformers.pipeline("text-classification", peer.model, tokenizer=tokenizer, device="cpu")
        texts = [first for first, _ in pairs]
        scores = pipeline(texts, top_k=None, truncation=True, max_length=64)
        scores = [{score["label"]: score["score"] for score in each} for each in scores]
        expected = [[each[name] for name in names.values()] for each in scores]
        np.testing.assert_allclose(quiet(model.classify, texts), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "activation"),
    [
        ({}, "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "none"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "none"),
        ({"sentence_transformers": {"activation_fn": "my.Own"}}, "has the activation my.Own; known: Sigmoid, Identity"),
    ],
)
def test_activations_that_files_name(changes, activation, tmp_path):
    save(tmp_path, "Bert", 1)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    if "known" in activation:
        with pytest.raises(ConversionError, match=activation):
            convert(tmp_path, tmp_path / "a.embedrt")
        return
    model = converted(tmp_path, tmp_path / "a.embedrt")
    assert model.labels is None and model.info.text.activation == activation
    peer = CrossEncoder(str(tmp_path), device="cpu")
    np.testing.assert_allclose(model.classify([("a b", "c")])[:, 0], peer.predict([("a b", "c")]), rtol=0, atol=5e-5)


def test_a_tokenizer_that_tells_no_types(tmp_path):
    save(tmp_path, "Bert", 1, typed=False)
    model, peer = converted(tmp_path, tmp_path / "a.embedrt"), CrossEncoder(str(tmp_path), device="cpu")
    pairs = ragged_pairs()[:6]
    np.testing.assert_allclose(model.classify(pairs)[:, 0], peer.predict(pairs), rtol=0, atol=2e-5)
    assert model._open().types_count == 0


def test_vocabulary_is_that_of_the_cases():
    assert all(settings["vocab_size"] == VOCABULARY for settings in CASES.values())
