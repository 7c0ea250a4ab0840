"""A checkpoint of random weights is one that can be converted and compared, and that tells engines apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peer_checkpoint
import pytest
import transformers

import embedrt
from embedrt_bench import checkpoint, shapes
from embedrt_bench.errors import BenchError
from embedrt_convert import convert

TINY = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
}


@pytest.fixture
def text(tmp_path: Path, tokenizer_file: Path) -> Path:
    peer_checkpoint.save(tmp_path / "text", tokenizer_file)
    return tmp_path / "text"


def test_a_shape_has_the_text_side_of_the_other_checkpoint(text: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shapes.write(TINY, text, made)
    read = checkpoint.read(made)
    assert (read.layers, read.hidden_size, read.pooling, read.normalize) == (2, 64, "mean", True)
    assert (made / "tokenizer.json").read_bytes() == (text / "tokenizer.json").read_bytes()
    assert convert(made, tmp_path / "made.embedrt", quant="int8").path.is_file()


def test_another_family(text: Path, tmp_path: Path) -> None:
    shapes.write({**TINY, "model_type": "modernbert", "vocab_size": 400, "pad_token_id": 0}, text, tmp_path / "made")
    made = embedrt.load(convert(tmp_path / "made", tmp_path / "made.embedrt", quant="int8").path)
    assert made.dim == 64


def test_a_text_may_have_as_many_tokens_as_there_are_positions(text: Path, tmp_path: Path) -> None:
    (text / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": false}', "utf-8")
    (text / "tokenizer_config.json").write_text('{"model_max_length": 16}', "utf-8")
    shapes.write({**TINY, "max_position_embeddings": 700}, text, tmp_path / "made")
    convert(tmp_path / "made", tmp_path / "made.embedrt", quant="int8")
    assert embedrt.load(tmp_path / "made.embedrt").max_tokens == 700


def test_the_same_weights_on_every_call(text: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shapes.write(TINY, text, tmp_path / name)
    first, second = (transformers.AutoModel.from_pretrained(tmp_path / name).state_dict() for name in ("a", "b"))
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor.numpy(), second[name].numpy())


def test_what_cannot_be_written(text: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="exists already"):
        shapes.write(TINY, text, text)
    (text / "modules.json").unlink()
    with pytest.raises(BenchError, match=r"no modules\.json"):
        shapes.write(TINY, text, tmp_path / "made")
