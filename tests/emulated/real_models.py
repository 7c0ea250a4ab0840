"""Models of full size on real texts and pictures: the vectors of every instruction set, here and on emulated ARM CPUs.

    python tests/emulated/real_models.py MODELS DATA [--only NAME ...] [--build FOLDER]

MODELS has all-MiniLM-L6-v2, dinov2-small (checkpoint folders) and efficientnet-lite0.pth; the other networks are of
random weights, as `python -m embedrt_bench.image_shapes` makes them. DATA has text/ (the folder that benchmarks read)
and images/*.jpg. Needs the extras `convert`, `image` and `bench`, a C++ compiler, one for aarch64 and qemu-user-static.

Prints how many floats have other bits than those of the Python package with `scalar`, and CPU time, which for emulated
CPUs says nothing about real ones. Fails where a bit differs.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import embedrt
from embedrt import _core
from embedrt._image import prepare
from embedrt_bench import image_shapes, texts
from embedrt_convert import convert

ROOT = Path(__file__).resolve().parent.parent.parent
SENTENCES, QUESTIONS, ABSTRACTS, PICTURES = 160, 30, 10, 5
CPUS = {"cortex-a72": "neon", "cortex-a76": "dotprod", "max": "i8mm"}  # and the best instruction set of each
CROSS = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++")


@dataclass(frozen=True)
class Run:
    """A CPU with an instruction set: how its program is started."""

    cpu: str
    isa: str
    command: Sequence[str]


@dataclass(frozen=True)
class Network:
    """`source` of None is made by image_shapes, by the name `shape`; `arch` names the network of a file of weights."""

    source: str | None
    shape: str = ""
    arch: str | None = None


NETWORKS = {
    "all-MiniLM-L6-v2": Network("all-MiniLM-L6-v2"),
    "dinov2-small": Network("dinov2-small"),
    "efficientnet-lite0": Network("efficientnet-lite0.pth", arch="efficientnet-lite0"),
    "vit-base": Network(None, "vit-base"),
    "clip-vit-base-patch32": Network(None, "clip-vit-base-patch32"),
    "mobilenetv2": Network(None, "timm:mobilenetv2_100", "timm:mobilenetv2_100"),
    "resnet50": Network(None, "torchvision:resnet50", "torchvision:resnet50"),
}


def build(folder: Path, *options: str) -> str:
    """The path of embedrt-run, built in `folder`."""
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "embedrt_run"], check=True, stdout=subprocess.DEVNULL)
    return str(folder / "embedrt-run")


def all_runs(folder: Path) -> list[Run]:
    here = build(folder / "native")
    there = build(folder / "aarch64", *CROSS, "-DCMAKE_EXE_LINKER_FLAGS=-static")
    emulated = [Run(cpu, isa, ("qemu-aarch64-static", "-cpu", cpu, there)) for cpu, isa in CPUS.items()]
    return [*(Run("this CPU", isa, (here,)) for isa in _core.isas()), *emulated]


def converted(name: str, models: Path, folder: Path) -> Path:
    """The model file, int8. It is made once and stays in `folder`."""
    path = folder / f"{name}.embedrt"
    if path.exists():
        return path
    network = NETWORKS[name]
    source = folder / f"{name}{'.pth' if network.arch else ''}" if network.source is None else models / network.source
    if network.source is None and not source.exists():
        image_shapes.write(network.shape, source)
    convert(source, path, name=name, arch=network.arch)
    return path


def real_texts(data: Path) -> list[str]:
    """Sentences of STS-B, questions of banking77, abstracts of Cranfield that are not cut: 5 to about 250 tokens."""
    corpus = texts.corpus(data / "text")
    questions = [text for text in corpus.longer if len(text) < 200]
    abstracts = [text for text in corpus.longer if 500 < len(text) < 1000]
    parts = ((corpus.sentences, SENTENCES), (questions, QUESTIONS), (abstracts, ABSTRACTS))
    return [text for part, count in parts for text in part[:: len(part) // count][:count]]


def inputs(model: embedrt.Model, data: Path, folder: Path) -> tuple[list[str], NDArray[np.float32], str]:
    """The runner's arguments, the vectors that the package gives, and a line about what they are of."""
    if model.image_size is None:
        given = real_texts(data)
        ids = [model.token_ids(text) for text in given]
        path = folder / "texts.ids"
        path.write_text("".join(" ".join(map(str, each)) + "\n" for each in ids))
        lengths = sorted(map(len, ids))
        about = f"{len(ids)} texts of {lengths[0]} to {lengths[-1]} tokens, {sum(lengths)} in all"
        return ["--ids", str(path)], model.encode(given), about
    pictures = sorted((data / "images").glob("*.jpg"))
    pictures = pictures[:: len(pictures) // PICTURES][:PICTURES]
    path = folder / "pictures.u8"
    assert model._image_config is not None
    np.stack([prepare(picture, model._image_config) for picture in pictures]).tofile(path)
    return ["--images", str(path)], model.encode_image(pictures), f"{len(pictures)} pictures"


def cpu_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check(name: str, path: Path, data: Path, runs: Sequence[Run], say: Callable[[str], None]) -> int:
    """The number of floats that differ, over all runs."""
    arguments, expected, about = inputs(embedrt.load(path), data, path.parent)
    say(f"\n{name}, {about}; {expected.size:,} floats\n")
    say("| CPU | instruction set | other bits | CPU s |\n| --- | --- | ---: | ---: |")
    vectors = path.parent / "vectors.f32"
    total = 0
    for run in runs:
        begin = cpu_seconds()
        command = [*run.command, str(path), *arguments, "-o", str(vectors)]
        subprocess.run(command, env={**os.environ, "EMBEDRT_ISA": run.isa}, check=True)
        seconds = cpu_seconds() - begin
        found = np.fromfile(vectors, "<u4")
        different = int((found != expected.ravel().view(np.uint32)).sum())
        say(f"| {run.cpu} | {run.isa} | {different} | {seconds:.1f} |")
        total += different
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "emulated", help="a folder to keep builds in")
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    runs = all_runs(args.build)
    different = 0
    for name in args.only:
        path = converted(name, args.models, args.build)
        different += check(name, path, args.data, runs, lambda line: print(line, flush=True))
    if different:
        sys.exit(f"{different} floats have other bits")


if __name__ == "__main__":
    # The package's own vectors are the definition's.
    os.environ["EMBEDRT_ISA"] = "scalar"
    main()
