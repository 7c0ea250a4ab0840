"""The way from pictures to vectors: chunk by chunk, decode → resize → run → write.

With one thread all of it is done by the calling one. With more, the pictures of the next chunk are decoded on as many
threads while the core computes. A chunk is bounded in bytes, so memory beyond the output does not depend on the number
of pictures; each is decoded when its chunk comes. The core computes each picture alone, so its vector does not depend
on its chunk.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedrt._errors import InputError
from embedrt._image import described, is_one_image, prepare
from embedrt._image_config import ImageConfig
from embedrt._overlap import on_threads, overlapped
from embedrt._precision import Form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt import _core
    from embedrt._info import ImageInfo

    Vectors = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

# Pictures of a chunk for each thread, and bytes of its pixels. The first is as large as the others: its decoding keeps
# every thread busy, and the core is faster with several pictures at a time (ViT-B/32: 146 a second against 88).
_CHUNK_IMAGES = 16
_CHUNK_BYTES = 64 << 20


class Decoded(NamedTuple):
    """A chunk: the pixels of the pictures that could be used and their indices; and of the others, why not."""

    pixels: Pixels
    places: list[int]
    failed: dict[int, str]


class ImageEncoding:
    """One call of `encode_image`: what stays the same over its chunks, and what it counts."""

    def __init__(
        self,
        core: _core.Model,
        config: ImageConfig,
        *,
        output: str,
        strict: bool,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        self._core = core
        self._config = config
        self._output = output
        self._strict = strict
        self._advance = advance
        self._lock = _thread.allocate_lock()
        self._images = 0
        self._failed: dict[int, str] = {}

    def vectors(self, images: Sequence[Any], form: Form) -> Vectors:
        """One vector a picture: float32 [images, dim], in `form`."""
        out: Vectors = form.empty(len(images))
        for places, rows in self._run(images, out):
            out[places] = form.of(rows)
        return out

    def patches(self, images: Sequence[Any]) -> Vectors:
        """One vector a patch: float32 [images, height, width, columns]."""
        prefix, height, width = self._core.grid(self._output)
        out = np.empty((len(images), height, width, self._core.outputs()[self._output]), np.float32)
        for places, rows in self._run(images, out):
            out[places] = rows[:, prefix:].reshape(-1, *out.shape[1:])
        return out

    def info(self) -> ImageInfo:
        from embedrt._info import ImageInfo

        return ImageInfo(self._images, self._failed)

    def _run(self, images: Sequence[Any], out: Vectors) -> Iterator[tuple[list[int], Vectors]]:
        """Rows of the core's output with their places in `out`; where a picture could not be used, that gets NaN."""
        with closing(self._chunks_decoded(images)) as chunks:
            for pixels, places, failed in chunks:
                if places:
                    yield places, self._core.run_images(pixels, self._output)
                out[list(failed)] = np.nan
                self._failed |= failed
                self._images += len(places)
                if self._advance:
                    self._advance(len(places) + len(failed))

    def _chunks_decoded(self, images: Sequence[Any]) -> Generator[Decoded, None, None]:
        """With several threads one chunk ahead of the caller."""
        chunks = self._chunks(images)
        if self._core.threads == 1:
            return (self._decode(chunk) for chunk in chunks)
        return overlapped(self._decode, chunks)

    def _chunks(self, images: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
        height, width = self._config.size
        largest = max(1, min(_CHUNK_IMAGES * self._core.threads, _CHUNK_BYTES // (3 * height * width)))
        for start in range(0, len(images), largest):
            yield start, images[start : start + largest]

    def _decode(self, chunk: tuple[int, Sequence[Any]]) -> Decoded:
        start, images = chunk
        pixels = np.empty((len(images), *self._config.size, 3), np.uint8)
        failed: dict[int, str] = {}

        def decode(place: int) -> None:
            try:
                pixels[place] = prepare(images[place], self._config, self._lock)
            except InputError as error:
                failed[start + place] = f"{described(images[place])}: {error}"

        on_threads(decode, range(len(images)), self._core.threads)
        if failed and self._strict:
            index = min(failed)
            raise InputError(f"images[{index}], {failed[index]}")
        places = [place for place in range(len(images)) if start + place not in failed]
        if failed:
            pixels = pixels[places]
        return Decoded(pixels, [start + place for place in places], dict(sorted(failed.items())))


def listed(images: Any) -> tuple[bool, Sequence[Any]]:
    """Whether `images` is a single one, and them as a sequence. Raises TypeError for what is none, with its index."""
    if is_one_image(images):
        return True, [images]
    if not isinstance(images, Iterable):
        raise TypeError(f"expected an image or an iterable of them, not a {type(images).__name__}")
    sequence = list(images)
    for index, image in enumerate(sequence):
        if not is_one_image(image):
            raise TypeError(
                f"images[{index}] is a {type(image).__name__}, not a path, bytes, a Pillow image or a numpy array"
            )
    return False, sequence
