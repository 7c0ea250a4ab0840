"""Counts the instructions that a model takes for each token on an emulated ARM CPU, instruction set by instruction set.

    python tests/emulated/instructions.py MODEL RUNNER [--tokens N] [--cpu NAME]

MODEL takes texts. RUNNER is embedrt-run for aarch64, linked statically. Needs gcc and a qemu-aarch64 with plugins, as
Debian's qemu-user has it; qemu-user-static cannot load any. Starting and loading are left out: what counts is the
difference between runs on one text and on two.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PLUGIN = Path(__file__).with_name("count_instructions.c")


def build_plugin(folder: Path) -> Path:
    path = folder / "count.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, PLUGIN], check=True)
    return path


def run(command: list[str], isa: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env={**os.environ, "EMBEDRT_ISA": isa}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done


def isas(emulator: list[str], runner: str, model: str) -> list[str]:
    found = re.search(r"^instruction set \S+ of (.*)$", run([*emulator, runner, model]).stdout, re.MULTILINE)
    assert found is not None
    return found[1].split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("runner")
    parser.add_argument("--tokens", type=int, default=128, help="of a text (default: 128)")
    parser.add_argument("--cpu", default="max", help="that qemu-aarch64 knows (default: max, which has everything)")
    args = parser.parse_args()

    emulator = ["qemu-aarch64", "-cpu", args.cpu]
    text = " ".join(str(100 + number) for number in range(args.tokens)) + "\n"  # which tokens they are does not matter
    print("| | instructions a token |\n| --- | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        plugin = build_plugin(Path(folder))
        ids = Path(folder) / "ids"

        def count(texts: int, isa: str) -> int:
            ids.write_text(text * texts)
            runner = [args.runner, args.model, "--ids", str(ids), "--threads", "1", "-o", os.devnull]
            return int(run([*emulator, "-plugin", str(plugin), *runner], isa).stderr.split()[-1])

        for isa in isas(emulator, args.runner, args.model):
            print(f"| {isa} | {(count(2, isa) - count(1, isa)) / args.tokens:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
