"""The worked examples of docs/bring-your-own-model.md, as they stand there."""

import os
import pathlib
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from random_models import save_bert
from torch import nn

import embedrt

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "bring-your-own-model.md"
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_page_has_three_examples():
    assert [language for language, _ in BLOCKS] == ["sh", "python", "python"]


@pytest.fixture
def exported(tmp_path):
    """A random BERT as exporters lay it out, without its weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    bert = save_bert(folder, hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=2)
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()

    class LastHiddenState(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, input_ids, attention_mask):
            return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.zeros((2, 7), dtype=torch.int64)
    axes = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            LastHiddenState(),
            (ids, torch.ones_like(ids)),
            str(folder / "onnx" / "model.onnx"),
            dynamo=True,
            verbose=False,
            output_names=["last_hidden_state"],
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        )
    return folder, bert


def test_the_shell(exported, tmp_path):
    folder, bert = exported
    command = tmp_path / "bin" / "embedrt"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m embedrt.cli "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "MODEL": str(folder), "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-eu", "-c", BLOCKS[0][1]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"attention.*4 heads", done.stdout) and "onnxruntime" in done.stdout

    model = embedrt.load(tmp_path / "exported.embedrt")
    words = (folder / "vocab.txt").read_text().split()
    ids = torch.tensor([[words.index(word) for word in ["[CLS]", "the", "cat", "ran", "on", "the", "mat", "[SEP]"]]])
    with torch.no_grad():
        rows = bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    expected = nn.functional.normalize(rows.mean(dim=0), dim=0).numpy()
    assert expected @ model.encode("the cat ran on the mat") > 0.99


def run(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_a_module(tmp_path, monkeypatch):
    torch.manual_seed(0)
    names = run(BLOCKS[1][1], tmp_path, monkeypatch)
    assert names["vectors"].shape == (3, 64)
    for text, vector in zip(names["texts"], names["vectors"], strict=True):
        ids = torch.tensor([names["tokenizer"].encode(text).ids])
        with torch.no_grad():
            expected = names["module"].eval()(ids, torch.ones_like(ids))[0].numpy()
        assert vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected) > 0.99


def test_a_network_of_images(tmp_path, monkeypatch):
    torch.manual_seed(0)
    names = run(BLOCKS[2][1], tmp_path, monkeypatch)
    assert names["vector"].shape == (576,)
    picture = np.random.default_rng(1).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    pixels = (picture / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        expected = names["network"].eval()(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))
    # Cut out of the middle of a picture with a border, so that nothing is resized.
    padded = np.pad(picture, ((16, 16), (16, 16), (0, 0)))
    vector, expected = names["model"].encode_image(padded), expected.numpy().reshape(-1)
    assert vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected) > 0.99
