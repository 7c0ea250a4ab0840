"""The command `embedrt`. What a subcommand needs is imported when it is asked for, and only then."""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from embedrt._errors import EmbedrtError
from embedrt._extras import extra

# Subcommand → summary, the module with its add_arguments(parser) and run(args) -> int, and the extra that it needs.
_COMMANDS: dict[str, tuple[str, str, str | None]] = {
    "embed": ("turn texts or images into vectors, or show how alike they are", "embedrt._cli_embed", None),
    "convert": ("make a model file from a checkpoint", "embedrt_convert.cli", "convert"),
    "inspect": ("show what a model file holds, and its program", "embedrt._cli_inspect", None),
    "verify": ("check every byte of a model file, and its golden vectors", "embedrt._cli_verify", None),
    "bench": ("measure a model beside other runtimes", "embedrt_bench.cli", "bench"),
}

_DESCRIPTION = """\
Embeddings of texts and images on an ordinary CPU, from one small model file.

  embedrt embed "How do I reset my password?" "I forgot my login" "Bananas are yellow"
  embedrt embed --file texts.txt -o vectors.npy
  embedrt embed --model dinov2-small.embedrt photographs/ -o vectors.npy
"""
_EPILOG = """\
`embedrt COMMAND --help` says more.
EMBEDRT_ISA=scalar|avx2|avxvnni|avx512vnni|amx|neon|dotprod|i8mm forces an instruction set.
Exit status: 0 done, 1 an error, 2 wrong usage, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0 (done), 1 (an error, printed), 2 (wrong usage) or 130 (interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _pipe_utf8()
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except (EmbedrtError, OSError) as error:
        if _reader_has_left(error):
            # `head` for one has seen enough. What is left in the buffer must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        print(f"embedrt: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("embedrt: interrupted", file=sys.stderr)
        return 130


def _pipe_utf8() -> None:
    """What goes to a pipe or a file is UTF-8, as what is read from one is, whatever the system's own encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")


def _reader_has_left(error: Exception) -> bool:
    if isinstance(error, BrokenPipeError):
        return True
    # Windows says no more than that an argument is invalid; where a file is meant, the error has its name.
    return os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "embedrt", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    # Only the chosen subcommand's module is imported: `inspect` must not pay for the converter, nor need it.
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    module: ModuleType | None = None
    for name, (summary, _, _) in _COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            module = _command(name)
            module.add_arguments(subparser)
    args = parser.parse_args(arguments)
    if args.version:
        import embedrt

        print(f"embedrt {embedrt.__version__}")
        return 0
    if module is None:
        parser.print_help()
        return 2
    needed = _COMMANDS[args.command][2]
    if needed is None:
        return int(module.run(args))
    with extra(needed):
        return int(module.run(args))


def _command(name: str) -> ModuleType:
    _, path, needed = _COMMANDS[name]
    if needed is None:
        return importlib.import_module(path)
    with extra(needed):
        return importlib.import_module(path)


if __name__ == "__main__":
    sys.exit(main())
