"""The texts that benchmarks run on: real ones from a data folder, or synthetic ones where there is none."""

from __future__ import annotations

import csv
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

from embedrt_bench.errors import BenchError

# Files of the data folder; all are required once a folder is named.
_STSB = "stsb-en-dev.csv"  # sentence, sentence, similarity 0-5; no header
_BANKING = "banking77/train.csv"  # text, category; a header
_CRANFIELD = "cranfield/cran.all.1400.xml"  # <text> elements
_SYNTHETIC_SENTENCES = 3000
_SYNTHETIC_ABSTRACTS = 1000
_QUESTIONS = 2000
_CALIBRATION = 300
_SEED = 20240229


@dataclass(frozen=True)
class Corpus:
    """`pairs` carry a human similarity score, 0-5; synthetic texts have none."""

    label: str
    sentences: list[str]
    longer: list[str]  # questions and abstracts: with the sentences, the lengths of real traffic
    pairs: list[tuple[str, str, float]]
    calibration: list[str]  # for engines that calibrate: one sentence to many, none of them among the texts above


def find(data: Path | None) -> Path | None:
    """The data folder: the given one, else the one that EMBEDRT_BENCH_DATA names; None if there is none."""
    if data is not None:
        return data
    named = os.environ.get("EMBEDRT_BENCH_DATA")
    return Path(named) if named else None


def corpus(data: Path | None) -> Corpus:
    """Raises BenchError when a named folder lacks a file."""
    return synthetic() if data is None else _read(data)


def _read(data: Path) -> Corpus:
    for name in (_STSB, _BANKING, _CRANFIELD):
        if not (data / name).is_file():
            raise BenchError(f"the data folder {data} has no {name}")
    with (data / _STSB).open(encoding="utf-8", newline="") as file:
        pairs = [(first, second, float(score)) for first, second, score in csv.reader(file)]
    with (data / _BANKING).open(encoding="utf-8", newline="") as file:
        questions = [row[0] for row in csv.reader(file)][1:]
    # The collection is not well-formed XML: stray ampersands and no root.
    documents = re.findall(r"<text>(.*?)</text>", (data / _CRANFIELD).read_text(encoding="utf-8"), re.DOTALL)
    abstracts = [" ".join(document.split()) for document in documents]
    # The questions are sorted by class: every so many, for all classes.
    step = max(1, len(questions) // _QUESTIONS)
    others = [question for i, question in enumerate(questions) if i % step != 0]
    return Corpus(
        label="STS-B dev, banking77, Cranfield",
        sentences=[sentence for first, second, _ in pairs for sentence in (first, second)],
        longer=[*questions[::step], *filter(None, abstracts)],
        pairs=pairs,
        calibration=_join(others or synthetic().sentences),
    )


# Common words with short spellings: one piece each in most vocabularies.
_WORDS = """
the of and to in a is that for it was on are as with his they at be this from have or by one had not but what all were
when we there can an your which their said if do will each about how up out them then she many some so these would
other into has more her two like him see time could no make than first been its who now people my made over did down
only way find use may water long little very after words called just where most know get through back much before go
good new write our used me man too any day same right look think also around another came come work three word must
because does part
"""


def synthetic() -> Corpus:
    """Sentences and abstracts of common words; the same on every call and machine."""
    source = random.Random(_SEED)
    words = _WORDS.split()

    def sentence(length: int) -> str:
        return " ".join(source.choice(words) for _ in range(length)).capitalize() + "."

    sentences = [sentence(source.randint(5, 24)) for _ in range(_SYNTHETIC_SENTENCES)]
    abstracts = [
        " ".join(sentence(source.randint(10, 30)) for _ in range(source.randint(2, 22)))
        for _ in range(_SYNTHETIC_ABSTRACTS)
    ]
    others = [sentence(source.randint(5, 24)) for _ in range(_SYNTHETIC_SENTENCES)]
    return Corpus("synthetic texts of common words", sentences, abstracts, [], _join(others))


def _join(sentences: list[str]) -> list[str]:
    """300 texts of 1 to 20 of the sentences, drawn at random: of about 10 to 300 tokens."""
    source = random.Random(_SEED)
    return [" ".join(source.choices(sentences, k=1 + number % 20)) for number in range(_CALIBRATION)]
