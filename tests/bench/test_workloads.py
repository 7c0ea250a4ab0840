"""Workloads have the lengths that they say, and are the same on every call."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from embedrt_bench import texts, workloads
from embedrt_bench.errors import BenchError


def count(batch: Sequence[str]) -> list[int]:
    """A tokenizer whose words have one piece for every three letters, and two special tokens a text."""
    return [2 + sum((len(word) + 2) // 3 for word in text.split()) for text in batch]


@pytest.fixture(scope="module")
def corpus() -> texts.Corpus:
    return texts.synthetic()


@pytest.mark.parametrize("length", [3, 4, 9, 128, 512])
def test_texts_have_exactly_the_asked_number_of_tokens(corpus: texts.Corpus, length: int) -> None:
    found = workloads.exactly(length, 7, corpus.sentences, count)
    assert count(found) == [length] * 7
    assert len(set(found)) > 1


def test_a_length_that_no_words_add_up_to_is_refused() -> None:
    with pytest.raises(BenchError, match="exactly 4 tokens"):
        workloads.exactly(4, 1, ["encyclopaedia encyclopaedia"], count)


def test_every_named_workload(corpus: texts.Corpus) -> None:
    built = {workload.name: workload for workload in workloads.build(workloads.NAMES, corpus, count, 512)}
    assert list(built) == list(workloads.NAMES)
    assert built["query"].tokens == [workloads.QUERY_TOKENS]
    for length in (128, 256, 512):
        assert set(built[str(length)].tokens) == {length}
        assert sum(built[str(length)].tokens) == 16_384
    assert len(built["short"].texts) == 1024
    for workload in built.values():
        assert workload.tokens == count(workload.texts)


def test_mixed_lengths_are_spread_over_the_logarithm(corpus: texts.Corpus) -> None:
    lengths = count(workloads.mixed(corpus, 2000, count))
    # From 8 to 320 are 5.3 doublings: every one has its share.
    for low in (10, 20, 40, 80, 160):
        share = sum(low <= length < 2 * low for length in lengths) / len(lengths)
        assert 0.1 < share < 0.3


def test_workloads_are_the_same_on_every_call(corpus: texts.Corpus) -> None:
    assert workloads.build(("mixed", "128"), corpus, count, 512) == workloads.build(
        ("mixed", "128"), texts.synthetic(), count, 512
    )


def test_a_text_over_the_limit_is_refused(corpus: texts.Corpus) -> None:
    with pytest.raises(BenchError, match="takes 256 at most"):
        workloads.build(("512",), corpus, count, 256)


def test_an_unknown_workload_is_refused(corpus: texts.Corpus) -> None:
    with pytest.raises(BenchError, match="no workload '64'"):
        workloads.build(("64",), corpus, count, 512)
