"""The golden inputs of a model file: short, long and awkward texts with their token ids, pictures, and their vectors.

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

from embedrt_convert.inputs.checkpoint import Text

OUTPUT, IMAGE_OUTPUT = "sentence_embedding", "image_embedding"

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


@dataclass(frozen=True)
class Inputs:
    """Ragged token ids: item i is ids[offsets[i]:offsets[i + 1]]."""

    texts: tuple[str, ...]
    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]


def tokenise(text: Text) -> Inputs:
    """TEXTS as the runtime tokenises them: special tokens, no prompt, cut to the model's limit and filled up."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text.tokenizer)
    tokenizer.enable_truncation(text.max_tokens)
    if text.pad:
        tokenizer.enable_padding(pad_id=text.pad.id, length=text.pad.to)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(TEXTS))]
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return Inputs(TEXTS, np.array(list(itertools.chain(*ids)), np.int32), offsets)


def text_items(inputs: Inputs, vectors: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The golden section's items of texts: `vectors` [items, columns] are the runtime's own, bit for bit."""
    return [
        {"text": text, "ids": inputs.ids[begin:end].tolist(), "vector": _base64(vector)}
        for text, begin, end, vector in zip(inputs.texts, inputs.offsets, inputs.offsets[1:], vectors, strict=False)
    ]


def image_items(vectors: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The golden section's items of pictures: number i has the runtime's vector of `embedrt._patterns.pattern(i)`."""
    return [{"image": {"pattern": index}, "vector": _base64(vector)} for index, vector in enumerate(vectors)]


def section(items: list[dict[str, Any]], numerics_revision: int) -> dict[str, Any]:
    """The golden section; texts before pictures."""
    output = OUTPUT if "text" in items[0] else IMAGE_OUTPUT
    return {"numerics_revision": numerics_revision, "output": output, "items": items}


def _base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
