"""The golden inputs of a model file: short, long and awkward texts with their token ids, pictures, and what they give.

`embedrt verify` runs them again and compares the vectors to the bit; the conversion's quality report is measured on the
same inputs, pictures of the user's aside.
"""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt._outputs import LOGITS, OF_TOKENS, SENTENCE, SPARSE
from embedrt._tokenizer_schema import rebuild
from embedrt_convert.inputs.checkpoint import Text

OUTPUT, IMAGE_OUTPUT = SENTENCE, "image_embedding"

_PARAGRAPH = (
    "The ferry leaves the harbour at a quarter past six, in winter as in summer, and nobody on the island can remember "
    "a morning on which it did not. It carries the post, the bread, two schoolteachers and, once a month, a man who "
    "tunes pianos. When the fog is thick the captain sounds the horn every ninety seconds; people set their clocks by "
    "it. "
)

TEXTS = (
    "",
    "a",
    "Hello, world!",
    "How do I reset my password?",
    "I forgot my login and cannot get into my account.",
    "Bananas are yellow.",
    "The quick brown fox jumps over the lazy dog",
    "A man is playing a guitar on the stage while a small crowd listens.",
    "Someone on a stage plays a string instrument for an audience.",
    "def mean(values): return sum(values) / len(values)",
    "Order #48-1177 was shipped on 2021-03-04 for $1,299.00 (incl. 19% VAT).",
    "https://example.org/path?query=value&page=2",
    "ALL CAPITALS, THEN lower case; then MiXeD.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Ça m'a coûté une fortune, évidemment, mais quel été !",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "今日はとても天気がいいので、公園まで散歩しました。",
    "القهوة في الصباح أفضل من الشاي.",
    "🙂🚀 emoji, a family 👨‍👩‍👧 and a flag 🇮🇸",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "  spaces\tand\nnew lines   between words  ",
    _PARAGRAPH,
    # Longer than 512 tokens under any tokenizer: it is cut to the model's limit.
    _PARAGRAPH * 9,
)

# Of a model with logits, which may be one of pairs: a question with what answers it, and with what does not.
PAIRS = (
    ("How do I reset my password?", "I forgot my login and cannot get into my account."),
    ("How do I reset my password?", "Bananas are yellow."),
    ("When does the ferry leave?", _PARAGRAPH),
    ("A man is playing a guitar on the stage while a small crowd listens.", "Someone plays a string instrument."),
    ("A man is playing a guitar on the stage while a small crowd listens.", "Nobody is on the stage."),
    ("Zwölf Boxkämpfer jagen Viktor.", "Съешь же ещё этих мягких французских булок, да выпей чаю."),
    ("", "a"),
    # Both are cut, and the longer one more.
    (_PARAGRAPH * 9, _PARAGRAPH * 5),
)


@dataclass(frozen=True)
class Inputs:
    """Ragged token ids: item i is ids[offsets[i]:offsets[i + 1]], of a text or of a pair; `types` are the tokens'."""

    texts: tuple[str | tuple[str, str], ...]
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    types: NDArray[np.int32]

    def names(self) -> list[str]:
        """What messages call the items."""
        return [text if isinstance(text, str) else " | ".join(text) for text in self.texts]


def tokenise(text: Text, output: str = OUTPUT) -> Inputs:
    """TEXTS as the runtime tokenises them: special tokens, no prompt, cut to the model's limit and filled up.

    And PAIRS where the output is logits and the tokenizer knows how two texts stand in one input.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text.tokenizer)
    tokenizer.enable_truncation(text.max_tokens)
    if text.pad:
        tokenizer.enable_padding(pad_id=text.pad.id, length=text.pad.to)
    texts: list[str | tuple[str, str]] = list(TEXTS)
    if output == LOGITS and rebuild(text.tokenizer.encode(), tokenizer.get_vocab_size()).template.pair is not None:
        texts += PAIRS
    encodings = tokenizer.encode_batch(texts)
    ids, types = ([getattr(each, name) for each in encodings] for name in ("ids", "type_ids"))
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    together = [np.array(list(itertools.chain(*each)), np.int32) for each in (ids, types)]
    return Inputs(tuple(texts), together[0], offsets, together[1])


def run(model: _core.Model, inputs: Inputs, output: str) -> NDArray[np.float32]:
    """The runtime's output for the items."""
    return model.run(inputs.ids, inputs.offsets, output, types=inputs.types if model.types_count else None)


def vectors_of(values: NDArray[Any], inputs: Inputs, output: str) -> list[NDArray[Any]]:
    """One vector for each item: its row, or the rows of its tokens one after another."""
    if output not in OF_TOKENS:
        return list(values)
    return [values[begin:end].reshape(-1) for begin, end in itertools.pairwise(inputs.offsets)]


def text_items(inputs: Inputs, values: NDArray[np.float32], output: str = OUTPUT) -> list[dict[str, Any]]:
    """The golden section's items of texts: `values` are the runtime's own for `output`, bit for bit."""
    items = []
    for text, ids, vector in zip(
        inputs.texts, np.split(inputs.ids, inputs.offsets[1:-1]), vectors_of(values, inputs, output), strict=True
    ):
        item: dict[str, Any] = {"text": text} if isinstance(text, str) else {"text": text[0], "pair": text[1]}
        item["ids"] = ids.tolist()
        if output == SPARSE:
            columns = np.flatnonzero(vector)
            item["columns"] = base64.b64encode(columns.astype("<u4").tobytes()).decode("ascii")
            vector = vector[columns]
        items.append(item | {"vector": _base64(vector)})
    return items


def image_items(vectors: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The golden section's items of pictures: number i has the runtime's vector of `embedrt._patterns.pattern(i)`."""
    return [{"image": {"pattern": index}, "vector": _base64(vector)} for index, vector in enumerate(vectors)]


def section(items: list[dict[str, Any]], numerics_revision: int, output: str) -> dict[str, Any]:
    """The golden section; `output` is that of the first item, and texts are before pictures."""
    return {"numerics_revision": numerics_revision, "output": output, "items": items}


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
