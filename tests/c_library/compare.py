"""Compares the runner with the Python package, bit for bit: python compare.py EMBEDRT_RUN TEXT_MODEL FOLDER."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from importlib.metadata import version

import numpy as np
from tokenizers import Tokenizer

import embedrt
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "runtime"))
import tiny_image

TEXTS = ["", "a", "Hello, world!", "How do I reset my password?", "of the people, by the people", "0123456789 !?.,;:"]


class Runner:
    def __init__(self, program: str, folder: pathlib.Path) -> None:
        self.program = program
        self.folder = folder

    def lines(self, *arguments: object) -> list[str]:
        """What the runner prints."""
        call = [self.program, *map(str, arguments)]
        return subprocess.run(call, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()

    def vectors(self, *arguments: object) -> np.ndarray:
        """Its vectors from a file, float32 [floats]; those that it prints must be the same numbers."""
        path = self.folder / "vectors.f32"
        assert self.lines(*arguments, "-o", path) == []
        vectors = np.fromfile(path, "<f4")
        printed = np.array([float(word) for line in self.lines(*arguments) for word in line.split()], np.float32)
        assert printed.tobytes() == vectors.tobytes()
        return vectors

    def refuses(self, part: str, *arguments: object) -> None:
        """The runner fails, prints nothing but an error, and that says `part`."""
        run = subprocess.run([self.program, *map(str, arguments)], text=True, capture_output=True)
        assert run.returncode != 0 and run.stdout == "" and part in run.stderr, run


def compare(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.size > 0
    assert found.tobytes() == np.ascontiguousarray(expected, np.float32).tobytes()


def compare_texts(runner: Runner, path: pathlib.Path) -> None:
    """Ids are made as a C program makes them: by the tokenizer that the file holds."""
    model = embedrt.load(path)
    definition = model.section("tokenizer")
    assert definition is not None
    tokenizer = Tokenizer.from_str(definition.decode())
    ids = runner.folder / "texts.ids"
    ids.write_text("".join(" ".join(map(str, tokenizer.encode(text).ids)) + "\n" for text in TEXTS))
    compare(runner.vectors(path, "--ids", ids), model.encode(TEXTS))
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    compare(runner.vectors(path, "--ids", ids, "--output", "token_embeddings", "--threads", 1), np.concatenate(tokens))

    said = runner.lines(path)
    assert said[0] == f"embedrt {version('embedrt')}, numerics revision {model.info.numerics_revision}"
    assert f"fingerprint {model.fingerprint}" in said
    assert any(line.startswith(f"instruction set {model.info.isa} of ") for line in said)
    assert any(line.startswith(f"output sentence_embedding: {model.dim} columns, row per text") for line in said)
    assert any(f", vocabulary {model.info.vocabulary}," in line for line in said)

    refusals = {
        "1 x\n": 'line 1: "x" is not a number',
        "1\n999999\n": "text 1: token id 999999",
        "99999999999\n": "line 1",
    }
    for content, message in refusals.items():
        wrong = runner.folder / "wrong.ids"
        wrong.write_text(content)
        runner.refuses(message, path, "--ids", wrong)
    runner.refuses("the model has no output colours", path, "--ids", ids, "--output", "colours")
    runner.refuses("No such file", path, "--ids", runner.folder / "none")
    runner.refuses("No such file", path, "--ids", ids, "-o", runner.folder / "none" / "vectors")
    runner.refuses("this is not an embedrt model", ids)
    runner.refuses("the model takes no images", path, "--images", ids)
    runner.refuses("usage:", path, "--colours", ids)
    runner.refuses("usage:", path, "--ids")
    runner.refuses("usage:")


def compare_images(runner: Runner) -> None:
    """The model's own size, so that nothing is resized."""
    section = tiny_image.SECTION | {"resize": {"mode": "shortest_edge", "size": tiny_image.SIZE[0], "max": None}}
    path = tiny_image.write_image_model(runner.folder / "image.embedrt", section=section)
    model = embedrt.load(path)
    pixels = np.random.default_rng(5).integers(0, 256, (5, *tiny_image.SIZE, 3), np.uint8)
    file = runner.folder / "pixels.u8"
    pixels.tofile(file)
    compare(runner.vectors(path, "--images", file), model.encode_image(list(pixels)))
    for output in ("patch_embeddings", "class_token", "logits"):
        expected = np.stack(list(model.encode_image(list(pixels), output_value=output)))
        found = runner.vectors(path, "--images", file, "--output", output)
        if output == "patch_embeddings":  # the runner has the class token's row, too
            found = found.reshape(5, -1, tiny_image.DIM)[:, 1:].copy()
        compare(found, expected)
    file.write_bytes(pixels.tobytes()[:-1])
    runner.refuses("not a multiple of the 576 of an image", path, "--images", file)
    runner.refuses("the model takes no texts", path, "--ids", runner.folder / "texts.ids")


def compare_types(runner: Runner) -> None:
    """Token types from a file of lines like that of the ids: a token's row is its word's plus its type's."""
    rng = np.random.default_rng(6)
    words, types = rng.normal(0, 1, (9, 20)).astype(np.float32), rng.normal(0, 1, (3, 20)).astype(np.float32)
    program = Program(9, 16)
    rows = program.op("lookup", IDS, name="words", table=words, index="token")
    rows = program.op("add", rows, program.op("lookup", IDS, name="types", table=types, index="type"))
    program.outputs["token_embeddings"] = rows
    path = runner.folder / "types.embedrt"
    writer.write(path, writer.program_sections(program))
    ids, of_ids = runner.folder / "words.ids", runner.folder / "words.types"
    ids.write_text("1 2 8\n\n0 0")
    of_ids.write_text("0 1 2\n\n2 1")
    output = ("--output", "token_embeddings")
    compare(runner.vectors(path, "--ids", ids, *output), words[[1, 2, 8, 0, 0]] + types[0])
    expected = words[[1, 2, 8, 0, 0]] + types[[0, 1, 2, 2, 1]]
    compare(runner.vectors(path, "--ids", ids, "--types", of_ids, *output), expected)
    of_ids.write_text("0 1\n2\n2 1\n")
    runner.refuses("its lines are not as long as those of", path, "--ids", ids, "--types", of_ids, *output)
    runner.refuses("no main output", path, "--ids", ids)


if __name__ == "__main__":
    runner = Runner(sys.argv[1], pathlib.Path(sys.argv[3]))
    compare_texts(runner, pathlib.Path(sys.argv[2]))
    compare_images(runner)
    compare_types(runner)
