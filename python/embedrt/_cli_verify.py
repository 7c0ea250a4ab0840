"""`embedrt verify`: every byte of a model file, and the vectors of its golden inputs."""

from __future__ import annotations

import argparse
import pathlib

from embedrt import _core
from embedrt._golden import check_golden
from embedrt._model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `embedrt verify`."""
    parser.description = (
        "Check every byte of a model file against its checksums and its content digest, then run its golden inputs, "
        "texts and test pictures: token ids must be equal, and vectors equal to the bit if they were computed under "
        "this runtime's numerics revision."
    )
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="a .embedrt file")
    parser.add_argument("--threads", type=int, metavar="N", help="default: every CPU that this process may use")


def run(args: argparse.Namespace) -> int:
    """Verify the file and print what was checked. Raises FormatError, OSError."""
    model = Model(str(args.file), verify=True, threads=args.threads)
    print(f"{args.file}: every byte is as it was written")
    golden = check_golden(model)
    if golden is None:
        print("no golden inputs in this file")
    elif golden.same_revision:
        print(f"{golden.items} golden inputs: equal to the bit ({_core.isa()})")
    else:
        print(
            f"{golden.items} golden inputs: their vectors are of numerics revision {golden.revision}, this "
            f"runtime's is {_core.NUMERICS_REVISION}: cosine {golden.cosine_worst:.6f} at worst"
        )
    return 0
