"""What is encoded: named lists of texts whose lengths in tokens are known."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from embedrt_bench.errors import BenchError
from embedrt_bench.texts import Corpus

# The lengths of texts in tokens, special tokens included, not cut to any limit.
CountTokens = Callable[[Sequence[str]], list[int]]

NAMES = ("query", "short", "mixed", "128", "256", "512")
QUERY_TOKENS = 9
_SHORT_TEXTS = 1024
_MIXED_TEXTS = 512
_MIXED_TOKENS = (8, 320)
_TOKENS_EACH = 16_384  # of the workloads of one length, together
_SEED = 20240229


@dataclass(frozen=True)
class Workload:
    """`tokens` are the real ones of each text, special tokens included and padding not: the same for every engine."""

    name: str
    title: str
    texts: list[str]
    tokens: list[int]


def build(names: Iterable[str], corpus: Corpus, count: CountTokens, limit: int) -> list[Workload]:
    """The named workloads, the same on every call. Raises BenchError when one has texts of more than `limit` tokens."""
    workloads = [_build(name, corpus, count) for name in names]
    for workload in workloads:
        if max(workload.tokens) > limit:
            raise BenchError(
                f"workload {workload.name} has texts of {max(workload.tokens)} tokens; this model takes {limit} at most"
            )
    return workloads


def _build(name: str, corpus: Corpus, count: CountTokens) -> Workload:
    if name == "query":
        texts = exactly(QUERY_TOKENS, 1, corpus.sentences, count)
        title = f"one query of {QUERY_TOKENS} tokens"
    elif name == "short":
        # Evenly over the whole set: its parts differ in length.
        total = len(corpus.sentences)
        texts = [corpus.sentences[i * total // _SHORT_TEXTS] for i in range(min(total, _SHORT_TEXTS))]
        title = "short sentences"
    elif name == "mixed":
        texts = mixed(corpus, _MIXED_TEXTS, count)
        title = "mixed lengths"
    elif name in NAMES:
        length = int(name)
        texts = exactly(length, max(1, _TOKENS_EACH // length), corpus.sentences, count)
        title = f"{length} tokens"
    else:
        raise BenchError(f"no workload {name!r}: there are {', '.join(NAMES)}")
    return Workload(name, title, texts, count(texts))


def mixed(corpus: Corpus, texts: int, count: CountTokens) -> list[str]:
    """Whole texts whose lengths are spread evenly over the logarithm, between the limits above, in random order."""
    lengths = sorted(zip(count(pool := [*corpus.sentences, *corpus.longer]), pool, strict=True))
    shortest, longest = map(math.log, _MIXED_TOKENS)
    source = random.Random(_SEED)
    chosen = []
    for _ in range(texts):
        target = math.exp(source.uniform(shortest, longest))
        # Any of the texts of about that length, so that the same few are not drawn again and again.
        low = bisect.bisect_left(lengths, (math.floor(target),))
        high = bisect.bisect_left(lengths, (math.ceil(target * 1.1) + 1,))
        last = len(lengths) - 1
        chosen.append(lengths[min(source.randint(low, max(low, high - 1)), last)][1])
    return chosen


def exactly(tokens: int, texts: int, sentences: Sequence[str], count: CountTokens) -> list[str]:
    """Texts of exactly that many tokens: sentences joined, and at the end words left out until the length fits."""
    words = [word for sentence in sentences for word in sentence.split()]
    special = count([""])[0]
    # A word's pieces, taken alone; joined by spaces they add up in most tokenizers, and the check below decides.
    pieces = dict(zip(unique := sorted(set(words)), (n - special for n in count(unique)), strict=True))
    found: list[str] = []
    start = 0
    for _ in range(20 * texts):
        text, start = _fill(words, start, tokens - special, pieces)
        if count([text])[0] == tokens:
            found.append(text)
        if len(found) == texts:
            return found
    raise BenchError(f"cannot build texts of exactly {tokens} tokens with this tokenizer")


def _fill(words: Sequence[str], start: int, room: int, pieces: dict[str, int]) -> tuple[str, int]:
    """Words from `start` on that fill `room` pieces, skipping those that do not fit; and where to go on."""
    taken = []
    at = start
    while room > 0 and at < start + len(words):
        word = words[at % len(words)]
        if pieces[word] <= room:
            taken.append(word)
            room -= pieces[word]
        at += 1
    return " ".join(taken), at % len(words)
