"""Writes tiny models of texts and images, inputs for them, and the vectors that the installed package gives.

    python tests/emulated/tiny_models.py FOLDER

For each model NAME.embedrt, NAME.ids (a line of token ids for each text) or NAME.u8 (pixels, uint8), and
NAME.OUTPUT.f32 for each of its outputs: what every CPU must give, to the bit.
"""

from __future__ import annotations

import pathlib
import shutil
import sys

import numpy as np
from numpy.typing import NDArray

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(TESTS / "convert"), str(TESTS / "numerics")]

import decoder_checkpoints  # noqa: E402
from checkpoints import t5  # noqa: E402
from image_programs import MADE, pictures  # noqa: E402
from numeric_programs import encoder, offsets_of  # noqa: E402

from embedrt import _core  # noqa: E402
from embedrt_convert import writer  # noqa: E402
from embedrt_convert.archs import lower  # noqa: E402
from embedrt_convert.builder import Program  # noqa: E402
from embedrt_convert.inputs.checkpoint import Checkpoint, Pooling, Text  # noqa: E402
from embedrt_convert.quantize import quantize  # noqa: E402

LENGTHS = (3, 0, 1, 40, *range(2, 24, 3))
IMAGES = 3


def text_programs() -> dict[str, Program]:
    """BERT's shape, with a window and biases by distance; T5; Qwen3 and Gemma 3: causal, turned, with shared heads."""
    encoders = {f"encoder-{precision}": encoder(precision, hidden=48) for precision in ("int8", "mixed", "fp32")}
    config, tensors = t5()
    families = {name: decoder_checkpoints.checkpoint(name) for name in ("qwen3", "gemma3_text")}
    families["t5"] = Checkpoint(config, tensors, Text("{}", 40), (Pooling("mean"),), "unknown")
    return encoders | {name: quantize(lower(checkpoint), "int8") for name, checkpoint in families.items()}


def write_texts(path: pathlib.Path) -> None:
    model = _core.Model(str(path), threads=1)
    rng = np.random.default_rng(4)
    texts = [rng.integers(0, model.vocabulary, min(length, model.max_tokens)).astype(np.int32) for length in LENGTHS]
    path.with_suffix(".ids").write_text("".join(" ".join(map(str, ids)) + "\n" for ids in texts))
    for output in model.outputs():
        write(path, output, model.run(np.concatenate(texts), offsets_of([*map(len, texts)]), output))


def write_images(path: pathlib.Path) -> None:
    model = _core.Model(str(path), threads=1)
    pixels = pictures(IMAGES)
    pixels.tofile(path.with_suffix(".u8"))
    for output in model.outputs():
        write(path, output, model.run_images(pixels, output))


def write(path: pathlib.Path, output: str, vectors: NDArray[np.float32]) -> None:
    vectors.astype("<f4").tofile(path.with_suffix(f".{output}.f32"))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    shutil.copy(TESTS / "data" / "tiny-bert-v1.embedrt", folder / "bert.embedrt")
    write_texts(folder / "bert.embedrt")
    for name, program in text_programs().items():
        path = folder / f"{name}.embedrt"
        writer.write(path, [*writer.program_sections(program)])
        write_texts(path)
    for name, made in MADE.items():
        for precision in ("int8", "fp32"):
            path = folder / f"{name}-{precision}.embedrt"
            writer.write(path, [*writer.program_sections(made(precision))])
            write_images(path)


if __name__ == "__main__":
    main()
