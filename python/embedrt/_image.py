"""One picture, however it is given, to the pixels that a program takes. Pillow, of the extra `image`, does the work.

Every pixel is equal to what the Pillow processors of transformers make of the same picture with the same Pillow:
`load_image`, resize, centre crop, before they rescale. With one exception: grey of 16 bits is divided by 256,
where `load_image` cuts all that is above 255 down to white. Pillow 13 sometimes resizes columns before rows, which
moves some pixels by 1 of 255 against what older ones make of them.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from embedrt._errors import InputError
from embedrt._image_config import ImageConfig, ShortestEdge, Size

# Pixels of a picture on its way from one size to another: 256 MB as Pillow holds them.
_MOST_PIXELS = 1 << 26
# Formats that describe how to draw, for other programs to run.
_DRAWINGS = ("EPS", "WMF")
_NAME = re.compile(
    r"[^.].*\.(apng|avif|bmp|dib|gif|ico|jfif|jp2|jpe|jpe?g|pbm|pgm|png|pnm|ppm|tga|tiff?|webp)",
    re.IGNORECASE | re.DOTALL,
)


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as those of images do; not of hidden ones."""
    return _NAME.fullmatch(name) is not None


def is_one_image(value: Any) -> bool:
    """Whether `value` is a picture, and not a sequence of them."""
    if isinstance(value, np.ndarray):
        return value.ndim in (2, 3)
    return isinstance(value, (str, os.PathLike, bytes, Image.Image))


def described(image: Any) -> str:
    """What a message calls the picture; for a path, that path."""
    if isinstance(image, (str, os.PathLike)):
        return str(os.fspath(image))
    if isinstance(image, bytes):
        return f"{len(image)} bytes"
    if isinstance(image, np.ndarray):
        return f"array {image.dtype} {list(image.shape)}"
    return "Pillow image"


def prepare(
    image: Any,
    config: ImageConfig,
    lock: AbstractContextManager[Any] = nullcontext(),  # noqa: B008  has no state
) -> NDArray[np.uint8]:
    """The picture as `config` says: uint8 [height, width, 3].

    `image` is a path, bytes, a Pillow image or an array; `lock` keeps threads from decoding one Pillow image together.
    Raises InputError, which says what is wrong but not with which picture.
    """
    try:
        if isinstance(image, np.ndarray):
            picture = _from_array(image)
        elif isinstance(image, Image.Image):
            with lock:
                image.load()
                image.getexif()  # which is read once, and kept with the picture
            picture = image
        else:
            picture = _decoded(image)
        return _fitted(_rgb(_upright(picture)), config)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError("not a picture in a format that Pillow knows") from None
    except Exception as error:  # a decoder raises nearly anything on a damaged file
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(reason or str(error) or type(error).__name__) from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise InputError("expected uint8 [height, width, 3], or [height, width] for grey")
    _check_size(array.shape[1], array.shape[0])
    return Image.fromarray(array)


def _decoded(source: Any) -> Image.Image:
    # The first frame of an animation, all of the pixels of a JPEG: `draft` would be faster and give others.
    picture: Image.Image
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
        width, height = picture.size
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and width * height > most:
            raise InputError(f"{width} x {height} pixels, more than PIL.Image.MAX_IMAGE_PIXELS, which is {most}")
        if picture.format in _DRAWINGS:
            raise InputError(f"{picture.format} is a drawing, not a picture of pixels")
        picture.load()
        return picture


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF or XMP data says. Only after decoding: that of TIFF does so itself."""
    if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return ImageOps.exif_transpose(picture)
    return picture


def _rgb(picture: Image.Image) -> Image.Image:
    """Alpha is dropped, not blended with a background."""
    mode = picture.mode
    if mode == "RGB":
        return picture
    if mode == "F":
        raise InputError("pixels of floating point have no known range; give it as uint8")
    if mode.startswith("I"):
        # Grey of 16 bits. Of a colour PNG or TIFF Pillow itself keeps the high byte.
        wide = np.asarray(picture)
        picture = Image.fromarray((wide.clip(0, 0xFFFF) >> 8).astype(np.uint8))
    elif mode == "P":
        # Of a palette with several transparent colours Pillow would warn that RGB has none.
        picture = picture.copy()
        picture.info.pop("transparency", None)
    return picture.convert("RGB")


def _fitted(picture: Image.Image, config: ImageConfig) -> NDArray[np.uint8]:
    """Resized and cropped: uint8 [height, width, 3]; black where the picture is smaller than the crop."""
    width, height = picture.size
    _check_size(width, height)
    resized = _resized_size(config.resize, height, width)
    size = config.crop or resized
    if size != config.size:
        raise InputError(f"{width} x {height} pixels; this model takes {config.size.width} x {config.size.height} only")
    rows, to_rows = _middle(resized.height, size.height)
    columns, to_columns = _middle(resized.width, size.width)
    out = np.zeros((*size, 3), np.uint8)
    out[to_rows, to_columns] = _resized(picture, resized, Image.Resampling[config.resample.upper()], rows, columns)
    return out


def _resized(
    picture: Image.Image, size: Size, resample: Image.Resampling, rows: slice, columns: slice
) -> NDArray[np.uint8]:
    """Rows and columns of the picture resized to `size`: uint8 [rows, columns, 3]."""
    width, height = picture.size
    if size == (height, width):
        return np.asarray(picture)[rows, columns]
    if size.width * size.height <= _MOST_PIXELS:
        return np.asarray(picture.resize((size.width, size.height), resample))[rows, columns]
    # Long and thin. Pillow resizes along one edge, rounds to bytes, and resizes along the other: what is not asked for
    # need not go through the second, and the rest goes through in strips.
    if size.width * height > _MOST_PIXELS or size.height > _MOST_PIXELS:
        raise InputError(
            f"{width} x {height} pixels are too long and thin to be resized to {size.width} x {size.height}"
        )
    picture = picture.resize((size.width, height), resample).crop((columns.start, 0, columns.stop, height))
    strip = _MOST_PIXELS // size.height
    return np.concatenate(
        [
            np.asarray(part.resize((part.width, size.height), resample))[rows]
            for start in range(0, picture.width, strip)
            for part in [picture.crop((start, 0, min(start + strip, picture.width), height))]
        ],
        axis=1,
    )


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise InputError(f"{width} x {height} pixels: there is nothing in it")


def _resized_size(resize: ShortestEdge | Size | None, height: int, width: int) -> Size:
    if resize is None:
        return Size(height, width)
    if isinstance(resize, Size):
        return resize
    short, long = min(height, width), max(height, width)
    if resize.longest is None or long / short * resize.size <= resize.longest:
        new_short, new_long = resize.size, int(resize.size * long / short)
    else:
        exact = resize.longest * short / long
        new_short = max(1, round(exact))
        new_long = long if new_short == short else int(exact * long / short)
    return Size(new_short, new_long) if height < width else Size(new_long, new_short)


def _middle(size: int, wanted: int) -> tuple[slice, slice]:
    """Along one edge, the part that a crop of `wanted` pixels takes, and its place in the crop."""
    if size >= wanted:
        start = (size - wanted) // 2
        return slice(start, start + wanted), slice(0, wanted)
    place = (wanted - size + 1) // 2
    return slice(0, size), slice(place, place + size)
