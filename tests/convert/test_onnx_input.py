"""Graphs and what lies beside them: tokenizer, modules, limits, pictures; whole conversions beside onnxruntime."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from checkpoints import write_bert, write_json
from file_reader import read
from graphs import COLUMNS, POSITIONS, SIZE, VOCABULARY, image_graph, save, text_graph

import embedrt
from embedrt.cli import main
from embedrt_convert import ConversionError, convert
from embedrt_convert.inputs import open_checkpoint
from embedrt_convert.inputs.checkpoint import Normalize, Pooling
from embedrt_convert.sources import OnnxFile, open_source

TEXTS = ["a", "a b a", "b b c a a b"]


@pytest.fixture
def folder(tmp_path, tokenizer_file):
    """A graph as optimum lays it out: token vectors in onnx/model.onnx, a tokenizer and its limit above."""
    top = tmp_path / "tiny"
    save(text_graph(), top / "onnx" / "model.onnx")
    (top / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    write_json(top / "tokenizer_config.json", {"model_max_length": 20})
    return top


def write_modules(top, mode="mean", normalize=True):
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    entries = [
        {
            "idx": i,
            "name": str(i),
            "path": "" if i == 0 else f"{i}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    write_json(top / "modules.json", entries)
    (top / "1_Pooling").mkdir()
    write_json(top / "1_Pooling" / "config.json", {"pooling_mode": mode})


def token_vectors(path, ids):
    """onnxruntime's own, [tokens, columns]."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {each.name: np.array([ids if each.name == "input_ids" else [1] * len(ids)]) for each in session.get_inputs()}
    return session.run(["last_hidden_state"], feed)[0][0].astype(np.float64)


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_a_conversion(folder, tmp_path):
    write_modules(folder)
    report = convert(folder, tmp_path / "tiny.embedrt", quant="fp32")
    model = embedrt.load(report.path)
    for text, vector in zip(TEXTS, model.encode(TEXTS), strict=True):
        ids = [2, *({"a": 4, "b": 5}.get(word, 1) for word in text.split()), 3]
        expected = unit(token_vectors(folder / "onnx" / "model.onnx", ids).mean(axis=0))
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert model.max_tokens == 20

    sections = read(report.path.read_bytes()).sections
    about, found = json.loads(sections["about"]), json.loads(sections["report"])
    assert (about["name"], about["architecture"], about["source"]) == ("tiny", "onnx", "file:model.onnx")
    assert about["options"]["graph"]["output"] == "last_hidden_state"
    assert "onnxruntime" in found["compared_with"] and found["graph"]["max_abs_difference"] < 1e-5
    assert found["graph"]["file"]["cosine_worst"] > 0.999999


def test_the_graph_can_be_named_itself(folder, tmp_path):
    write_modules(folder)
    first = convert(folder, tmp_path / "a.embedrt").path.read_bytes()
    assert first == convert(folder / "onnx" / "model.onnx", tmp_path / "b.embedrt").path.read_bytes()


def test_a_sentence_embedding_is_preferred(folder, tmp_path):
    write_modules(folder, mode="cls")
    path = save(text_graph(pooled="sentence_embedding"), folder / "onnx" / "model.onnx")
    said = []
    model = embedrt.load(convert(folder, tmp_path / "a.embedrt", quant="fp32", progress=said.append).path)
    np.testing.assert_allclose(model.encode("a b"), token_vectors(path, [2, 4, 5, 3]).mean(axis=0), atol=1e-6)
    assert "note: the graph's output sentence_embedding is taken; it also has last_hidden_state" in said
    assert any("modules.json is not applied" in line for line in said)
    model = embedrt.load(convert(folder, tmp_path / "a.embedrt", quant="fp32", normalize=True).path)
    np.testing.assert_allclose(model.encode("a b"), unit(token_vectors(path, [2, 4, 5, 3]).mean(axis=0)), atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [("cls", lambda rows: rows[0]), ("lasttoken", lambda rows: rows[-1]), ("max", lambda rows: rows.max(axis=0))],
)
def test_a_pooling_of_the_users(folder, tmp_path, pooling, pooled):
    write_modules(folder)
    path = save(text_graph(pooled="sentence_embedding"), folder / "onnx" / "model.onnx")
    model = embedrt.load(convert(folder, tmp_path / "a.embedrt", quant="fp32", pooling=pooling).path)
    np.testing.assert_allclose(model.encode("a b"), pooled(token_vectors(path, [2, 4, 5, 3])), atol=1e-6)


def test_a_text_of_no_tokens(folder, tmp_path):
    definition = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", {**definition, "post_processor": None})
    save(text_graph(tokens=None, pooled="sentence_embedding"), folder / "onnx" / "model.onnx")
    model = embedrt.load(convert(folder, tmp_path / "a.embedrt").path)
    assert model.encode("").shape == (COLUMNS,)


def test_without_a_pooling(folder):
    with pytest.raises(ConversionError, match=r"no modules\.json .* --pooling says it \(mean, cls, max, "):
        open_checkpoint(str(folder))
    with pytest.raises(ConversionError, match="the pooling 'median' is not known; known: mean, cls"):
        open_checkpoint(str(folder), pooling="median")


def test_a_pooled_graph_is_not_pooled_again(folder):
    save(text_graph(tokens=None, pooled="vector"), folder / "onnx" / "model.onnx")
    with pytest.raises(ConversionError, match=r"vector of file:model\.onnx is one vector for each text already"):
        open_checkpoint(str(folder), pooling="mean")


def test_outputs_by_name(folder):
    save(text_graph(tokens="rows", pooled="vector"), folder / "onnx" / "model.onnx")
    with pytest.raises(ConversionError, match="has the outputs rows, vector: --output-name says which"):
        open_checkpoint(str(folder))
    with pytest.raises(ConversionError, match="has no output absent; its outputs are rows, vector"):
        open_checkpoint(str(folder), output_name="absent")
    _, checkpoint = open_checkpoint(str(folder), output_name="vector")
    assert (checkpoint.graph.output, checkpoint.modules) == ("vector", ())
    _, checkpoint = open_checkpoint(str(folder), output_name="rows", pooling="cls", normalize=True)
    assert (checkpoint.graph.output, checkpoint.modules) == ("rows", (Pooling("first"), Normalize()))


def test_modules_are_not_normalised_twice(folder):
    write_modules(folder, mode="lasttoken")
    _, checkpoint = open_checkpoint(str(folder), normalize=True)
    assert checkpoint.modules == (Pooling("last"), Normalize())


@pytest.mark.parametrize(
    ("tokenizer", "sentence", "config", "asked", "limit"),
    [
        (20, None, None, None, 20),
        (20, 12, None, None, 12),
        (20, None, 16, None, 16),
        (10**30, None, 16, None, 16),
        (20, 12, 16, 23, 23),
    ],
)
def test_limits(folder, tokenizer, sentence, config, asked, limit):
    write_json(folder / "tokenizer_config.json", {"model_max_length": tokenizer})
    if sentence:
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": sentence})
    if config:
        write_json(folder / "config.json", {"max_position_embeddings": config, "vocab_size": VOCABULARY})
    _, checkpoint = open_checkpoint(str(folder), pooling="mean", max_tokens=asked)
    assert checkpoint.text.max_tokens == checkpoint.graph.max_tokens == limit


@pytest.mark.parametrize("settings", [{}, {"model_max_length": 10**30}])
def test_no_limit_at_all(folder, settings):
    write_json(folder / "tokenizer_config.json", settings)
    with pytest.raises(ConversionError, match=r"how long a text may be .*--max-tokens says it"):
        open_checkpoint(str(folder), pooling="mean")


def test_more_tokens_than_positions(folder, tmp_path):
    with pytest.raises(ConversionError):
        convert(folder, tmp_path / "a.embedrt", pooling="mean", max_tokens=POSITIONS + 1)
    assert not list(tmp_path.glob("*.embedrt"))


def test_a_tokenizer_elsewhere(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "tokenizer.json").rename(elsewhere / "tokenizer.json")
    with pytest.raises(ConversionError, match=r"no tokenizer\.json beside it: --tokenizer names"):
        open_checkpoint(str(folder), pooling="mean")
    for given in (elsewhere, elsewhere / "tokenizer.json"):
        _, checkpoint = open_checkpoint(str(folder), pooling="mean", tokenizer=given, max_tokens=9)
        assert json.loads(checkpoint.text.tokenizer)["model"]["type"] == "WordLevel"
    # Its own limit, not that of the tokenizer beside the graph.
    write_json(elsewhere / "tokenizer_config.json", {"model_max_length": 7})
    _, checkpoint = open_checkpoint(str(folder), pooling="mean", tokenizer=elsewhere)
    assert checkpoint.text.max_tokens == 7
    with pytest.raises(ConversionError, match="no such folder or tokenizer"):
        open_checkpoint(str(folder), tokenizer=tmp_path / "absent")


def test_another_models_tokenizer(folder, tmp_path):
    save(text_graph(vocabulary=5), folder / "onnx" / "model.onnx")
    with pytest.raises(ConversionError, match="tokenizer is not this graph's, whose token table has 5 rows"):
        convert(folder, tmp_path / "a.embedrt", pooling="mean")


def test_only_graphs_take_these(tmp_path):
    source = str(write_bert(tmp_path / "plain"))
    for options in (
        {"tokenizer": "x"},
        {"pooling": "cls"},
        {"normalize": True},
        {"output_name": "x"},
    ):
        with pytest.raises(ConversionError, match="is not a graph"):
            open_checkpoint(source, **options)


def test_which_graph_of_a_folder(folder, tmp_path):
    assert isinstance(open_source(str(folder)), OnnxFile)
    (folder / "onnx" / "model.onnx").rename(folder / "onnx" / "model_fp16.onnx")
    assert open_source(str(folder)).graph == "model_fp16.onnx"
    save(text_graph(), folder / "onnx" / "model_q4.onnx")
    with pytest.raises(ConversionError, match=r"onnx/model_fp16\.onnx, onnx/model_q4\.onnx: name one of them"):
        open_source(str(folder))
    plain = write_bert(tmp_path / "plain")
    save(text_graph(), plain / "onnx" / "model.onnx")
    assert not isinstance(open_source(str(plain)), OnnxFile)
    with pytest.raises(ConversionError, match="no such file"):
        open_source(str(tmp_path / "absent.onnx"))


@pytest.mark.parametrize(
    ("path", "name"),
    [("onnx/model.onnx", "tiny"), ("model_quantized.onnx", "tiny"), ("small-encoder.onnx", "small-encoder")],
)
def test_names(tmp_path, path, name):
    assert OnnxFile(save(text_graph(), tmp_path / "tiny" / path)).name == name


def test_data_beside_the_graph_counts(folder):
    path = folder / "onnx" / "model.onnx"
    onnx.save(text_graph(), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    first, checkpoint = open_checkpoint(str(folder), pooling="mean")
    assert checkpoint.graph is not None
    weights = path.with_name("weights.bin")
    data = weights.read_bytes()
    weights.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    second, _ = open_checkpoint(str(folder), pooling="mean")
    assert first.digest() != second.digest()


def test_load_converts_a_graph(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDRT_CACHE", str(tmp_path / "cache"))
    write_modules(folder)
    vector = embedrt.load(folder / "onnx" / "model.onnx").encode("a b")
    assert vector.shape == (COLUMNS,) and len(list((tmp_path / "cache" / "models").iterdir())) == 1


def test_the_command_line(folder, tmp_path):
    path, target = folder / "onnx" / "model.onnx", tmp_path / "a.embedrt"
    words = [str(path), "-o", str(target), "--quant", "fp32", "--pooling", "lasttoken", "--normalize"]
    words += ["--output-name", "last_hidden_state", "--max-tokens", "6", "--tokenizer", str(folder), "--name", "other"]
    assert main(["convert", *words]) == 0
    model = embedrt.load(target)
    assert (model.max_tokens, json.loads(read(target.read_bytes()).sections["about"])["name"]) == (6, "other")
    np.testing.assert_allclose(model.encode("a b"), unit(token_vectors(path, [2, 4, 5, 3])[-1]), atol=1e-6)
    with pytest.raises(SystemExit):
        main(["convert", str(path), "--max-tokens", "0"])
    with pytest.raises(SystemExit):
        main(["convert", str(path), "--pooling", "median"])


PICTURES = {"size": SIZE, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.2]}


def test_pictures(tmp_path):
    path = save(image_graph(), tmp_path / "net.onnx")
    with pytest.raises(ConversionError, match=r"no preprocessor_config\.json beside it: --preprocessor names a file"):
        open_checkpoint(str(path))
    write_json(tmp_path / "other.json", PICTURES)
    _, checkpoint = open_checkpoint(str(path), preprocessor=tmp_path / "other.json")
    image = checkpoint.image
    assert (image.height, image.width, image.resize["mode"], image.resample) == (SIZE, SIZE, "fixed", "bilinear")
    np.testing.assert_allclose(image.scale, 1 / (255 * np.array(PICTURES["image_std"])))
    np.testing.assert_allclose(image.offset, -np.array(PICTURES["image_mean"]) / PICTURES["image_std"])
    assert checkpoint.text is None and checkpoint.graph.output == "image_embedding"


@pytest.mark.parametrize("lacks", ["size", "image_mean", "image_std"])
def test_nothing_about_pictures_is_guessed(tmp_path, lacks):
    path = save(image_graph(), tmp_path / "net.onnx")
    write_json(tmp_path / "preprocessor_config.json", {key: PICTURES[key] for key in PICTURES if key != lacks})
    with pytest.raises(ConversionError, match=rf"preprocessor_config\.json of file:net\.onnx has {lacks} None"):
        open_checkpoint(str(path))


def test_the_size_of_pictures(tmp_path):
    path = save(image_graph(), tmp_path / "net.onnx")
    write_json(tmp_path / "preprocessor_config.json", {**PICTURES, "size": 32})
    with pytest.raises(ConversionError, match=r"takes pictures of 16 x 16 pixels, and .* makes 32 x 32"):
        open_checkpoint(str(path))
    _, checkpoint = open_checkpoint(str(path), image_size=(16, 16))
    assert (checkpoint.image.height, checkpoint.image.width) == (16, 16)
    save(image_graph(size="side"), path)
    _, checkpoint = open_checkpoint(str(path))
    assert (checkpoint.image.height, checkpoint.image.width) == (32, 32)


def test_pictures_of_timm(tmp_path):
    path = save(image_graph(), tmp_path / "net.onnx")
    pretrained = {
        "input_size": [3, SIZE, SIZE],
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "crop_pct": 0.5,
        "interpolation": "bicubic",
    }
    write_json(tmp_path / "config.json", {"architecture": "anything", "pretrained_cfg": pretrained})
    _, checkpoint = open_checkpoint(str(path))
    image = checkpoint.image
    assert image.resize == {"mode": "shortest_edge", "size": 32, "max": None} and image.resample == "bicubic"


def test_labels_of_a_graph(tmp_path):
    path = save(image_graph(output="logits"), tmp_path / "net.onnx")
    write_json(tmp_path / "preprocessor_config.json", PICTURES)
    write_json(tmp_path / "config.json", {"id2label": {str(i): f"class {i}" for i in range(8)}})
    _, checkpoint = open_checkpoint(str(path), classifier=True)
    assert checkpoint.image.labels == tuple(f"class {i}" for i in range(8))


def test_pictures_have_no_tokens(tmp_path):
    path = save(image_graph(), tmp_path / "net.onnx")
    write_json(tmp_path / "preprocessor_config.json", PICTURES)
    with pytest.raises(ConversionError, match="takes images: pooling"):
        open_checkpoint(str(path), pooling="mean")


def test_the_extra_is_named(folder):
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from embedrt_convert import convert\n"
        f"convert({str(folder)!r}, pooling='mean')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'this needs the extra "onnx"' in done.stderr and 'pip install "embedrt[onnx]"' in done.stderr


def test_model_files_are_inspected_without_the_converter(folder, tmp_path):
    path = convert(folder, tmp_path / "a.embedrt", pooling="mean").path
    code = (
        "import sys\nfrom embedrt.cli import main\n"
        f"assert main(['inspect', {str(path)!r}]) == 0\n"
        "assert not {'onnx', 'onnxruntime', 'embedrt_convert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_graphs_are_inspected(folder, capsys):
    assert main(["inspect", str(folder / "onnx" / "model.onnx")]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "input_ids ids, int64 [batch, sequence]" in lines
    assert any(line.startswith("1 × attention") for line in lines)
    assert any(line.startswith("gives a vector for each token") for line in lines)
    assert not any("pool" in line for line in lines[lines.index("inputs") :] if " × " in line)


def test_what_is_not_understood_is_said(folder, capsys):
    model = text_graph()
    next(node for node in model.graph.node if node.op_type == "Softmax").op_type = "Sin"
    del next(node for node in model.graph.node if node.op_type == "Sin").attribute[:]
    path = save(model, folder / "sines.onnx")
    assert main(["inspect", str(path)]) == 0
    assert "not understood" in capsys.readouterr().out
    (folder / "none.onnx").write_bytes(b"no graph")
    assert main(["inspect", str(folder / "none.onnx")]) == 1
    assert "none.onnx" in capsys.readouterr().err
