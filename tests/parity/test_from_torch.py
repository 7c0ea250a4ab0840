"""`from_torch`: modules as PyTorch runs them, whichever exporter writes the graph."""

import numpy as np
import pytest
import torch
from random_models import save_bert
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn

import embedrt
from embedrt_convert import ConversionError, from_torch, torch_export

WORDS, WIDTH, POSITIONS = 60, 32, 40
TEXTS = ["w3", "w4 w5 w29", " ".join(f"w{i % 28 + 2}" for i in range(37))]


class Encoder(nn.Module):
    """Two layers of PyTorch's own; `gives` says what comes out."""

    def __init__(self, gives="mean"):
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 48, dropout=0.5, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.gives = gives

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        x = self.layers(x, src_key_padding_mask=attention_mask == 0)
        mask = attention_mask[:, :, None].to(x.dtype)
        mean = (x * mask).sum(1) / mask.sum(1)
        return {"mean": mean, "pair": (x, mean), "dict": {"tokens": x, "sentence_embedding": mean}}[self.gives]


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Encoder()


@pytest.fixture
def tokenizer():
    made = Tokenizer(WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w1"))
    made.pre_tokenizer = Whitespace()
    return made


def example():
    ids = torch.randint(0, WORDS, (2, 9))
    return ids, torch.ones_like(ids)


def means(module, tokenizer):
    """PyTorch's own, one text at a time."""
    module.eval()
    found = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            found.append(module(ids, torch.ones_like(ids))[0].numpy())
    return np.stack(found)


def test_a_module(module, tokenizer, tmp_path):
    module.layers.layers[1].eval()
    said = []
    report = from_torch(
        module,
        example(),
        tmp_path / "a.embedrt",
        tokenizer=tokenizer,
        max_tokens=POSITIONS,
        quant="fp32",
        progress=said.append,
    )
    # As it was: one layer was not in training.
    assert module.training and module.layers.layers[0].training and not module.layers.layers[1].training
    assert report.name == "Encoder" and not any("older way" in line for line in said)
    np.testing.assert_allclose(embedrt.load(report.path).encode(TEXTS), means(module, tokenizer), atol=1e-5)


@pytest.mark.parametrize(
    "inputs", [lambda ids, mask: {"attention_mask": mask, "input_ids": ids}, lambda ids, mask: [ids[:1], mask[:1]]]
)
def test_other_forms_of_inputs(module, tokenizer, tmp_path, inputs):
    path = from_torch(
        module, inputs(*example()), tmp_path / "a.embedrt", tokenizer=tokenizer, max_tokens=POSITIONS, quant="fp32"
    ).path
    np.testing.assert_allclose(embedrt.load(path).encode(TEXTS), means(module, tokenizer), atol=1e-5)


@pytest.mark.parametrize(
    ("gives", "options"),
    [
        ("pair", {"output_name": "output_1"}),
        ("pair", {"output_name": "output_0", "pooling": "mean"}),
        ("dict", {}),
        ("dict", {"output_name": "tokens", "pooling": "mean"}),
    ],
)
def test_several_outputs(module, tokenizer, tmp_path, gives, options):
    expected = means(module, tokenizer)
    module.gives = gives
    report = from_torch(
        module,
        example(),
        tmp_path / "a.embedrt",
        tokenizer=tokenizer,
        max_tokens=POSITIONS,
        quant="fp32",
        name="other",
        **options,
    )
    assert report.name == "other"
    np.testing.assert_allclose(embedrt.load(report.path).encode(TEXTS), expected, atol=1e-5)


class Averages(nn.Module):
    """PyTorch's own attention is not for the older exporter: it writes the example's length into the graph."""

    def __init__(self):
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(POSITIONS, WIDTH)
        self.layer, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, input_ids, attention_mask):
        x = self.words(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        x = self.norm(x + nn.functional.gelu(self.layer(x)))
        mask = attention_mask[:, :, None].to(x.dtype)
        return (x * mask).sum(1) / mask.sum(1)


@pytest.mark.parametrize("why", ["raises", "wrong"])
def test_the_older_exporter(tokenizer, tmp_path, monkeypatch, why):
    """Where the newer one fails, or writes a graph that computes something else."""
    torch.manual_seed(0)
    module = Averages()
    newer = torch_export._dynamo

    def fails(wrapped, known, path):
        if why == "raises":
            raise RuntimeError("no such thing")
        with torch.no_grad():
            module.positions.weight[0] += 0.1
            newer(wrapped, known, path)
            module.positions.weight[0] -= 0.1

    monkeypatch.setattr(torch_export, "_dynamo", fails)
    said = []
    path = from_torch(
        module,
        example(),
        tmp_path / "a.embedrt",
        tokenizer=tokenizer,
        max_tokens=POSITIONS,
        quant="fp32",
        progress=said.append,
    ).path
    reason = "no such thing" if why == "raises" else "gives another output than the module"
    assert any("exported the older way" in line and reason in line for line in said)
    np.testing.assert_allclose(embedrt.load(path).encode(TEXTS), means(module, tokenizer), atol=1e-5)


def test_a_model_of_transformers(tmp_path):
    """Its outputs have names, its tokenizer a folder."""
    bert = save_bert(tmp_path, hidden_size=32, num_attention_heads=4, intermediate_size=64, num_hidden_layers=2)
    path = from_torch(
        bert,
        dict(zip(("input_ids", "attention_mask"), example(), strict=True)),
        tmp_path / "a.embedrt",
        tokenizer=tmp_path,
        max_tokens=POSITIONS,
        pooling="mean",
        quant="fp32",
    ).path
    words = (tmp_path / "vocab.txt").read_text().split()
    ids = torch.tensor([[words.index(word) for word in ("[CLS]", "the", "cat", "ran", "[SEP]")]])
    with torch.no_grad():
        expected = bert(ids).last_hidden_state[0].mean(dim=0).numpy()
    np.testing.assert_allclose(embedrt.load(path).encode("the cat ran"), expected, atol=1e-5)


def test_a_length_in_the_graph(module, tokenizer, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(torch_export, "_dynamo", fails)
    with pytest.raises(ConversionError, match="Encoder cannot be exported to ONNX"):
        from_torch(module, example(), tmp_path / "a.embedrt", tokenizer=tokenizer, max_tokens=POSITIONS)


def test_what_cannot_be_exported(tokenizer, tmp_path):
    class Stranger(nn.Module):
        def forward(self, input_ids):
            return torch.from_numpy(np.linalg.svd(input_ids.float().numpy())[1])

    with pytest.raises(ConversionError, match=r"Stranger cannot be exported to ONNX: dynamo: .*; torchscript: "):
        from_torch(Stranger(), example()[:1], tmp_path / "a.embedrt", tokenizer=tokenizer, max_tokens=9)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((1, 2), "input_ids must be a tensor"),
        (tuple(example()) * 2, "4 example inputs for the 2 parameters"),
        (torch.zeros(3, dtype=torch.int64), "must be a tensor with the batch as its first axis"),
    ],
)
def test_inputs_that_are_none(module, inputs, message):
    with pytest.raises(ConversionError, match=message):
        from_torch(module, inputs)


class Net(nn.Module):
    def __init__(self, classes=0):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        x = torch.relu(self.norm(self.second(torch.relu(self.first(x)))))
        return x.mean(dim=(2, 3))


PICTURES = {"size": 32, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}
TIMM = {
    "input_size": (3, 32, 32), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25), "crop_pct": 1.0,
    "interpolation": "bilinear", "crop_mode": "center",
}  # fmt: skip


@pytest.mark.parametrize("preprocessor", [PICTURES, TIMM])
def test_a_network_of_images(tmp_path, preprocessor):
    torch.manual_seed(0)
    net = Net()
    path = from_torch(
        net, torch.zeros(1, 3, 32, 32), tmp_path / "net.embedrt", preprocessor=preprocessor, quant="fp32"
    ).path
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    pixels = (picture / 255 - PICTURES["image_mean"]) / PICTURES["image_std"]
    with torch.no_grad():
        expected = net.eval()(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32))[0].numpy()
    np.testing.assert_allclose(embedrt.load(path).encode_image(picture), expected, atol=1e-5)
