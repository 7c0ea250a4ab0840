"""`embedrt inspect`: what a model file says about itself, and its program as a listing; or what a graph is made of."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from embedrt import _core
from embedrt._extras import extra
from embedrt._image_config import LOGITS, ImageConfig, ShortestEdge, parse_image_config
from embedrt._text_config import parse_notes, parse_text_config
from embedrt._tokenizer_schema import rebuild

_SECTIONS = ("text", "tokenizer", "image", "about", "report", "golden")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt inspect`."""
    parser.add_argument(
        "file", metavar="FILE", type=pathlib.Path, help="a .embedrt file, or a .onnx file: what conversion makes of it"
    )
    parser.add_argument("--tensors", action="store_true", help="also list every tensor")


def run(args: argparse.Namespace) -> int:
    """Print what the file holds. Raises FormatError, OSError, and EmbedrtError for a graph that cannot be read."""
    if args.file.suffix == ".onnx":
        return _graph(args.file)
    core = _core.Model(str(args.file))
    _file(args.file, core)
    for name in ("about", "report"):
        notes = parse_notes(core.section(name), f"{name} section")
        _title(name)
        for key, value in notes.items():
            for number, each in enumerate((value or ["none"]) if isinstance(value, list) else [value]):
                _line("" if number else key, each)
    _outputs(core)
    if core.vocabulary:
        _texts(core)
    image = core.section("image")
    if core.image_size is not None and image is not None:
        _images(core, core.image_size, image)
    _title("program")
    print(core.listing().rstrip())
    if args.tensors:
        _title("tensors")
        for tensor in core.tensors():
            shape = f"[{tensor['rows']}, {tensor['columns']}]"
            print(f"  {tensor['name']:<48} {tensor['layout']:<11} {shape:<16} {tensor['size']:>12,}")
    return 0


def _graph(path: pathlib.Path) -> int:
    with extra("onnx"):
        from embedrt_convert.onnx_graph.describe import describe
    for title, lines in describe(path).items():
        _title(title)
        for name, value in lines:
            _line(name, value)
    return 0


def _file(path: pathlib.Path, core: _core.Model) -> None:
    size = path.stat().st_size
    _title(str(path))
    _line("size", f"{size:,} bytes")
    _line("fingerprint", core.fingerprint)
    _line("format version", _core.FORMAT_VERSION)
    _line("numerics revision", f"{core.golden_revision} in the file, {_core.NUMERICS_REVISION} in this runtime")
    for name in _SECTIONS:
        section = core.section(name)
        _line(f"section {name}", "none" if section is None else f"{len(section):,} bytes")
    _line("tensors", f"{sum(tensor['size'] for tensor in core.tensors()):,} bytes")


def _outputs(core: _core.Model) -> None:
    _title("vectors")
    for name, columns in core.outputs().items():
        _line(name, f"{columns} columns")


def _images(core: _core.Model, size: tuple[int, int], section: bytes) -> None:
    config = parse_image_config(section, size, core.outputs().get(LOGITS))
    _title("images")
    _line("pixels", f"{config.size.height} x {config.size.width} RGB")
    if isinstance(config.resize, ShortestEdge):
        limit = f", the longest to {config.resize.longest} at most" if config.resize.longest else ""
        _line("resize", f"the shortest edge to {config.resize.size}{limit}, {config.resample}")
    elif config.resize:
        _line("resize", f"to {config.resize.height} x {config.resize.width}, {config.resample}")
    if config.crop:
        _line("crop", f"the middle {config.crop.height} x {config.crop.width}")
    if config.labels:
        _line("labels", f"{len(config.labels):,}: {', '.join(config.labels[:3])} …")
    _line("similarity", _measure(config))


def _measure(config: ImageConfig) -> str:
    if config.logit_scale is None:
        return config.similarity
    bias = "" if config.logit_bias is None else f" {config.logit_bias:+g}"
    return f"{config.logit_scale:g} · {config.similarity}{bias}"


def _texts(core: _core.Model) -> None:
    config = parse_text_config(core.section("text"), core.max_tokens, core.vocabulary)
    _title("texts")
    _line("similarity", config.similarity)
    _line("max tokens", f"{config.max_tokens} by default, {config.longest(core.max_tokens)} at most")
    if config.pad:
        _line("padding", f"id {config.pad.id}, to {config.pad.to} tokens")
    for name, prompt in config.prompts.items():
        _line(f"prompt {name}", repr(prompt) + (", the default" if name == config.default_prompt_name else ""))
    if not config.include_prompt:
        _line("prompts", "not pooled")
    section = core.section("tokenizer")
    if section is None:
        _line("tokenizer", "none")
    else:
        parts = rebuild(section, core.vocabulary)
        ids = " … ".join(" ".join(map(str, side)) for side in (parts.prefix, parts.suffix))
        _line("tokenizer", f"{parts.model['type']}, {len(parts.model['vocab']):,} tokens; ids around a text: {ids}")
    _line("vocabulary", f"{core.vocabulary:,} ids")


def _title(text: str) -> None:
    print(f"\n{text}")


def _line(name: str, value: Any) -> None:
    print(f"  {name:<20} {value}")
