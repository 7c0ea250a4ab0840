"""Encodes fixed texts with the installed package and prints the instruction set, then a hash of the vectors.

python wheel_bits.py MODEL
"""

from __future__ import annotations

import hashlib
import sys

import embedrt
from embedrt import _core

TEXTS = [
    "",
    "a",
    "Hello, world!",
    "How do I reset my password?",
    "of the people, by the people, for the people",
    "0123456789 !?.,;: " * 8,
    "ünïcödé and 漢字",
]


def main() -> None:
    print(_core.isa())
    model = embedrt.load(sys.argv[1], verify=True)
    digest = hashlib.sha256(model.encode(TEXTS).tobytes())
    for vectors in model.encode(TEXTS, output_value="token_embeddings"):
        digest.update(vectors.tobytes())
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
