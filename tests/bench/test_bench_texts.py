"""Real texts are read from a data folder; without one they are synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedrt_bench import texts
from embedrt_bench.errors import BenchError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "stsb-en-dev.csv").write_text('"A man, dancing.",A man dances.,4.5\nA cat.,A dog.,1.0\n', "utf-8")
    (tmp_path / "banking77").mkdir()
    (tmp_path / "banking77" / "train.csv").write_text("text,category\nWhere is my card?,card_arrival\n", "utf-8")
    (tmp_path / "cranfield").mkdir()
    abstracts = "<doc><text>\nflow & heat\n  transfer .\n</text></doc><doc><text>\n</text></doc>"
    (tmp_path / "cranfield" / "cran.all.1400.xml").write_text(abstracts, "utf-8")
    return tmp_path


def test_a_data_folder(data: Path) -> None:
    corpus = texts.corpus(data)
    assert corpus.sentences == ["A man, dancing.", "A man dances.", "A cat.", "A dog."]
    assert corpus.longer == ["Where is my card?", "flow & heat transfer ."]
    assert [score for _, _, score in corpus.pairs] == [4.5, 1.0]


def test_calibration_texts_are_not_measured(data: Path) -> None:
    questions = [f"question {i}" for i in range(6000)]
    (data / "banking77" / "train.csv").write_text("\n".join(["text,category", *(f"{q},c" for q in questions)]), "utf-8")
    corpus = texts.corpus(data)
    used = " ".join(corpus.calibration).split("question ")[1:]
    assert len(corpus.calibration) == 300
    assert len(set(used)) > 1000
    assert not {f"question {number.strip()}" for number in used} & set(corpus.longer)


def test_synthetic_calibration_texts_are_not_measured() -> None:
    corpus = texts.synthetic()
    sentences = {f"{sentence}." for text in corpus.calibration for sentence in text.rstrip(".").split(". ")}
    assert len(sentences) > 1000
    assert not sentences & set(corpus.sentences)
    assert texts.synthetic().calibration == corpus.calibration


def test_a_folder_without_a_file_is_refused_by_name(data: Path) -> None:
    (data / "banking77" / "train.csv").unlink()
    with pytest.raises(BenchError, match=r"has no banking77/train\.csv"):
        texts.corpus(data)


def test_synthetic_texts_are_the_same_on_every_call() -> None:
    assert texts.corpus(None) == texts.synthetic()
    assert "synthetic" in texts.synthetic().label
    assert not texts.synthetic().pairs


def test_where_the_data_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDRT_BENCH_DATA", raising=False)
    assert texts.find(None) is None
    monkeypatch.setenv("EMBEDRT_BENCH_DATA", "elsewhere")
    assert texts.find(None) == Path("elsewhere")
    assert texts.find(tmp_path) == tmp_path
