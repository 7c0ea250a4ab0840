"""A map of pictures: near each other where their vectors are alike, each joined to the one most like it.

    python -m embedrt_bench.images.map MODEL.embedrt PICTURES -o map.png --names NAMES.txt

draws each picture of the folder as its name: line N of NAMES.txt for N.jpg, else the file's own. Wants matplotlib and
scikit-learn, which the extra `bench` brings.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import embedrt
from embedrt._image import is_image_name
from embedrt_bench.errors import BenchError

_PERPLEXITY = 5.0
_INK, _LINE = "#1f3d5c", "#e08a3c"


def draw(vectors: NDArray[np.float32], names: Sequence[str], target: Path, title: str) -> None:
    """The map of pictures by their unit vectors [n, d], n above 5, in any type of image that matplotlib writes."""
    import matplotlib
    from sklearn.manifold import TSNE

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = TSNE(perplexity=_PERPLEXITY, metric="cosine", init="pca", learning_rate=10, random_state=0).fit_transform(
        vectors
    )
    alike = vectors @ vectors.T - 2 * np.eye(len(vectors))
    nearest = alike.argmax(axis=1)
    figure, axes = pyplot.subplots(figsize=(11, 7.5), dpi=110)
    for one, other in enumerate(nearest):
        width = 0.5 + 3 * max(float(alike[one, other]), 0.0)
        axes.plot(*points[[one, other]].T, color=_LINE, linewidth=width, alpha=0.55, zorder=1)
    axes.scatter(points[:, 0], points[:, 1], s=12, color=_INK, zorder=2)
    for one, name in enumerate(names):
        # On the side that its neighbour is not.
        above = points[one, 1] >= points[nearest[one], 1]
        place = (0, 5) if above else (0, -11)
        axes.annotate(
            name, points[one], xytext=place, textcoords="offset points", ha="center", fontsize=7.5, color=_INK
        )
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
    figure.tight_layout()
    figure.savefig(target)
    pyplot.close(figure)


def _names(paths: Sequence[Path], names: Path | None) -> list[str]:
    if names is None:
        return [path.stem for path in paths]
    lines = names.read_text(encoding="utf-8").splitlines()
    # "n01440764_tench.JPEG" is how the samples of ImageNet name their classes.
    shown = [re.sub(r"^n\d+_|\.JPEG$", "", line).replace("_", " ") for line in lines]
    found = [path.stem for path in paths if not path.stem.isdecimal() or int(path.stem) >= len(shown)]
    if found:
        raise BenchError(f"{names} has {len(shown)} lines and no name for {found[0]}")
    return [shown[int(path.stem)] for path in paths]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command above."""
    parser = argparse.ArgumentParser("python -m embedrt_bench.images.map", description="Draw a map of pictures.")
    parser.add_argument("model", metavar="MODEL", help="an .embedrt file that takes images")
    parser.add_argument("pictures", metavar="PICTURES", type=Path, help="a folder of pictures")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, default=Path("map.png"))
    parser.add_argument("--names", metavar="FILE", type=Path, help="a line for each number that a picture may have")
    args = parser.parse_args(arguments)
    paths = sorted(path for path in args.pictures.iterdir() if is_image_name(path.name))
    model = embedrt.load(args.model)
    vectors = model.encode_image(paths, normalize_embeddings=True)
    title = f"{len(paths)} pictures by {Path(args.model).stem}, each joined to the one most like it"
    draw(vectors, _names(paths, args.names), args.output, title)


if __name__ == "__main__":
    main()
