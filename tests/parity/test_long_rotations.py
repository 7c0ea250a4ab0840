"""Rotations after thousands of positions, where angles in float32 are not the exact ones, beside transformers."""

import cpu_torchvision  # noqa: F401
import numpy as np
import torch
from families.case import VOCABULARY, randomise, save_tokenizer
from families.published import token_vectors
from family_files import OUTPUT, largest_difference
from transformers import NomicBertConfig, NomicBertModel

from embedrt import _core
from embedrt_convert import writer
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
