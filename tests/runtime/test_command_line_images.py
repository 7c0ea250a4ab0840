"""`embedrt embed` and its neighbours with models that take images."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from tiny_image import LABELS, SECTION, SIZE, write_image_model
from tiny_model import DIM

import embedrt
from embedrt._patterns import pattern
from embedrt.cli import main


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    section = SECTION | {"labels": LABELS}
    return write_image_model(tmp_path_factory.mktemp("images") / "tiny.embedrt", section=section)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    section = SECTION | {"logit_scale": 20.0, "logit_bias": -2.0}
    return write_image_model(tmp_path_factory.mktemp("towers") / "two.embedrt", section=section, texts=True)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Five images in it and in a folder of it; other files; and two hidden ones."""
    folder = tmp_path / "pictures"
    for index, name in enumerate(("b.png", "a.JPG", "in/c.webp", "in/d.gif", "z.tif", ".hidden.png", ".in/e.png")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pattern(index, 20 + index, 30)).save(file)
    (folder / "notes.txt").write_text("hello")
    return folder


# Sorted: the files of a folder, then the folders in it.
NAMES = ["a.JPG", "b.png", "z.tif", "in/c.webp", "in/d.gif"]


def read_jsonl(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_a_folder_to_jsonl(path: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "--model", str(path), "--format", "jsonl", str(folder)]) == 0
    records = read_jsonl(capsys.readouterr().out)
    files = [folder / name for name in NAMES]
    assert [record["image"] for record in records] == [str(file) for file in files]
    vectors = np.array([record["embedding"] for record in records], np.float32)
    np.testing.assert_array_equal(vectors, embedrt.load(path).encode_image(files))


@pytest.mark.parametrize("count", [1, 3, 600])
def test_paths_from_a_file_to_npy(path: pathlib.Path, folder: pathlib.Path, tmp_path: pathlib.Path, count: int) -> None:
    files = [folder / NAMES[index % 5] for index in range(count)]
    source, out = tmp_path / "paths.txt", tmp_path / "vectors.npy"
    source.write_text("".join(f"{file}\n" for file in files))
    assert main(["embed", "--model", str(path), "--file", str(source), "-o", str(out), "--normalize"]) == 0
    vectors = np.load(out)
    assert vectors.dtype == np.float32 and vectors.shape == (count, DIM)
    np.testing.assert_array_equal(vectors, embedrt.load(path).encode_image(files, normalize_embeddings=True))


def test_a_table_of_similarities(path: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [folder / "b.png", folder / "a.JPG"]
    assert main(["embed", "--model", str(path), *map(str, files)]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = embedrt.load(path)
    vectors = model.encode_image(files)
    want = model.similarity(vectors, vectors)
    assert [line.split()[-2:] for line in lines[1:]] == [[f"{value:.3f}" for value in row] for row in want]


def test_what_cannot_be_read_is_reported_and_the_others_are_kept(
    path: pathlib.Path,
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, broken, empty = folder / "b.png", folder / "broken.png", tmp_path / "empty"
    broken.write_bytes(good.read_bytes()[:80])
    empty.mkdir()
    want = embedrt.load(path).encode_image(good)
    lines = [
        str(good),
        str(broken),
        str(tmp_path / "missing.jpg"),
        str(empty),
        str(folder / "notes.txt"),
        "",
        str(good),
    ]
    data = "\n".join(lines).encode() + b"\n\xff\xfe\n"
    pipe(monkeypatch, data)
    assert main(["embed", "--model", str(path)]) == 1
    out, err = capsys.readouterr()
    records = read_jsonl(out)
    assert ["embedding" in record for record in records] == [True, False, False, False, False, False, True, False]
    assert records[1]["image"] == str(broken) and "truncated" in str(records[1]["error"])
    messages = err.splitlines()
    assert len(messages) == 6 and all(message.startswith("embedrt: ") for message in messages)
    for message, words in zip(
        messages,
        (
            "broken.png: ",
            "missing.jpg: No such file",
            "no images in this folder",
            "notes.txt: ",
            "directory",
            "not UTF-8",
        ),
        strict=True,
    ):
        assert words in message

    pipe(monkeypatch, data)
    assert main(["embed", "--model", str(path), "-o", str(tmp_path / "a.npy")]) == 1
    vectors = np.load(tmp_path / "a.npy")
    assert np.isnan(vectors[[1, 2, 3, 4, 5, 7]]).all()
    np.testing.assert_array_equal(vectors[[0, 6]], [want, want])
    capsys.readouterr()

    assert main(["embed", "--model", str(path), str(good), str(broken)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and "broken.png" in err
    assert main(["embed", "--model", str(path), str(broken)]) == 1
    assert capsys.readouterr().out == ""


def test_texts_and_images_beside_each_other(
    towers: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, or a file whose name says so, is an image; everything else is a text."""
    monkeypatch.chdir(folder)
    arguments = ["hello world", "b.png", "missing.png", "notes.txt", "in", "x" * 5000, "a\0b.png"]
    assert main(["embed", "--model", str(towers), "--format", "jsonl", *arguments]) == 0
    records = read_jsonl(capsys.readouterr().out)
    kinds = [next(iter(record.items())) for record in records]
    assert kinds == [
        ("text", "hello world"),
        ("image", "b.png"),
        ("text", "missing.png"),
        ("text", "notes.txt"),
        ("image", str(pathlib.Path("in/c.webp"))),
        ("image", str(pathlib.Path("in/d.gif"))),
        ("text", "x" * 5000),
        ("text", "a\0b.png"),
    ]
    model = embedrt.load(towers)
    vectors = np.array([record["embedding"] for record in records], np.float32)
    np.testing.assert_array_equal(vectors[[1, 4, 5]], model.encode_image(["b.png", "in/c.webp", "in/d.gif"]))
    np.testing.assert_array_equal(vectors[[0, 2, 3]], model.encode(["hello world", "missing.png", "notes.txt"]))

    assert main(["embed", "--model", str(towers), "--prompt-name", "query", "hello", "b.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = np.stack([model.encode("hello", prompt_name="query"), model.encode_image("b.png")])
    want = model.similarity(rows, rows)
    assert [line.split()[-2:] for line in lines[1:]] == [[f"{value:.3f}" for value in row] for row in want]


def test_a_model_of_texts_takes_names_of_images_as_texts(
    model_path: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", "--model", str(model_path), "--format", "jsonl", str(folder), str(folder / "b.png")]) == 0
    assert all("text" in record for record in read_jsonl(capsys.readouterr().out))


@pytest.mark.parametrize("option", [["--prompt-name", "query"], ["--max-tokens", "4"]])
def test_options_of_texts(path: pathlib.Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "--model", str(path), *option, "a.png"]) == 1
    assert "are for texts; this model takes images" in capsys.readouterr().err


def test_more_than_a_table_holds(
    path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(33):
        (tmp_path / f"{index}.png").touch()
    assert main(["embed", "--model", str(path), str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "32 rows at most" in err and err.count("\n") == 1


def test_inspect(path: pathlib.Path, towers: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    height, width = SIZE
    for words in (f"{height} x {width} RGB", "the shortest edge to 18, bicubic", "the middle 12 x 16", "3: cat, dog"):
        assert words in out
    assert "max tokens" not in out and "patch_embeddings" in out
    assert main(["inspect", str(towers)]) == 0
    out = capsys.readouterr().out
    assert "20 · cosine -2" in out and "max tokens" in out


def test_verify(path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(path)]) == 0
    assert "every byte" in capsys.readouterr().out
