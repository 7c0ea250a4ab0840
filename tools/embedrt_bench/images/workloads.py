"""What is encoded: always the same eight pictures, from pixels or from files, one in a call or all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Pictures of every workload.
COUNT = 8


class Workload(NamedTuple):
    name: str
    title: str
    images: int  # in one call
    files: bool  # decoding, resizing, cropping and normalising are within the clock


_ALL = (
    Workload("pixels-1", "from pixels, 1 image", 1, False),
    Workload("pixels-8", "from pixels, 8 images", COUNT, False),
    Workload("files-1", "from files, 1 image", 1, True),
    Workload("files-8", "from files, 8 images", COUNT, True),
)
NAMES = tuple(workload.name for workload in _ALL)


def build(names: Iterable[str]) -> list[Workload]:
    """The named workloads, in the order of the names."""
    known = {workload.name: workload for workload in _ALL}
    return [known[name] for name in names]
