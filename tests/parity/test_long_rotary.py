"""Rotations after thousands of positions, where angles in float32 are not the exact ones, and what long texts take."""

import sys

import cpu_torchvision  # noqa: F401
import numpy as np
import pytest
import torch
from families.case import VOCABULARY, randomise, save_tokenizer
from families.published import token_vectors
from family_files import OUTPUT, largest_difference
from transformers import ModernBertConfig, ModernBertModel, NomicBertConfig, NomicBertModel

from embedrt import _core
from embedrt_bench import long, shapes
from embedrt_convert import convert, writer
from embedrt_convert.archs import lower
from embedrt_convert.inputs import huggingface
from embedrt_convert.sources import Folder

TOKENS = 8192
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": TOKENS,
}


def test_a_long_text(tmp_path):
    torch.manual_seed(0)
    model = NomicBertModel(NomicBertConfig(**SIZES)).eval()
    randomise(model)
    with torch.no_grad():
        # Scores that choose among thousands of keys: with exact angles the difference would be 3e-5.
        model.layers[0].self_attn.q_proj.weight *= 1.5
        model.layers[0].self_attn.k_proj.weight *= 1.5
    model.set_attn_implementation("sdpa")
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    ids = np.random.default_rng(0).integers(5, VOCABULARY, TOKENS, dtype=np.int32)
    (expected,) = token_vectors(model, [ids.tolist()])

    program = lower(huggingface.read(Folder(tmp_path)))
    writer.write(tmp_path / "m.embedrt", writer.program_sections(program))
    actual = _core.Model(str(tmp_path / "m.embedrt"), threads=1).run(ids, np.array([0, TOKENS]), OUTPUT)
    assert largest_difference(expected, actual) <= 2e-5


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_one_text(tmp_path):
    # ModernBERT-base's widths: one layer has everything that is alive at a time.
    shape = {**shapes.SHAPES["modernbert"], "num_hidden_layers": 1, "layer_types": ["sliding_attention"]}
    shape["vocab_size"] = VOCABULARY
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    ModernBertModel(ModernBertConfig(**{**shape, **special})).save_pretrained(tmp_path / "modernbert")
    save_tokenizer(tmp_path / "modernbert")
    # The conversion measures itself on short texts; the limit of the program is what counts below.
    (tmp_path / "modernbert" / "sentence_bert_config.json").write_text('{"max_seq_length": 32}', encoding="utf-8")
    path = convert(tmp_path / "modernbert", tmp_path / "m.embedrt").path
    # A float32 of each token and column is 25 MB; q, k and v are three, in all 142 MB. The scores of one head would be
    # 268 MB, and those of the window's keys alone, for all heads, 51 MB.
    (row,) = long.measure(str(path), [1], [TOKENS])
    assert 100e6 < row["peak_rss"] - row["query_peak_rss"] < 160e6
