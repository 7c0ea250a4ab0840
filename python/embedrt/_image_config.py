"""The `image` section of a model file: what happens to a picture before the program sees its pixels."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from embedrt._errors import FormatError
from embedrt._json import Fields, checked_integer, checked_number, checked_text, load_object
from embedrt._text_config import SIMILARITIES

ImageOutput = Literal["image_embedding", "class_token", "patch_mean", "patch_embeddings", "logits"]
IMAGE: Final = "image_embedding"
CLASS: Final = "class_token"
MEAN: Final = "patch_mean"
PATCHES: Final = "patch_embeddings"
LOGITS: Final = "logits"

MAX_SIDE = 1 << 14  # of a resized picture, before it is cropped
MAX_LABELS = 1 << 16
MAX_LABEL = 1024
MAX_SCALE = 1e6
RESAMPLES: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_WHERE = "image section"


class Size(NamedTuple):
    height: int
    width: int


class ShortestEdge(NamedTuple):
    """Resize so that the shorter edge has `size` pixels; but less if the longer one would have more than `longest`."""

    size: int
    longest: int | None


class ImageConfig(NamedTuple):
    """The steps in their order: resize, crop to the middle; then the picture has `size`. And what its outputs mean.

    `labels` names the columns of the output logits. With `logit_scale`, similarities are logit_scale · cosine +
    logit_bias, as the checkpoint was trained to compare pictures with texts.
    """

    size: Size
    resize: ShortestEdge | Size | None
    resample: str
    crop: Size | None
    labels: tuple[str, ...] | None = None
    similarity: str = "cosine"
    logit_scale: float | None = None
    logit_bias: float | None = None


def parse_image_config(section: bytes, size: tuple[int, int], logits: int | None) -> ImageConfig:
    """Read the `image` section for a program of that image size and of so many logits, if any. Raises FormatError."""
    fields = Fields(load_object(section, _WHERE, max_depth=32), _WHERE)
    result = _size(fields)
    if result != size:
        raise FormatError(f"{_WHERE}: {_shown(result)} pixels, the program takes {_shown(size)}")
    resize = _resize(fields.raw("resize"))
    resample = fields.choice("resample", RESAMPLES)
    cropped = fields.raw("crop")
    crop = None if cropped is None else _only_size(cropped, f"{_WHERE}.crop")
    last = crop if crop is not None else resize
    if last is not None and last != result:
        what = _shown(last) if isinstance(last, Size) else "by the shortest edge alone"
        raise FormatError(f"{_WHERE}: the last step gives {what}, not {_shown(result)} pixels")
    labels = _labels(fields.optional("labels"), logits)
    similarity = fields.choice("similarity", SIMILARITIES, default="cosine")
    scale, bias = fields.optional("logit_scale"), fields.optional("logit_bias")
    if scale is not None:
        scale = checked_number(scale, f"{_WHERE}.logit_scale", MAX_SCALE)
        if scale <= 0 or similarity != "cosine":
            raise FormatError(f"{_WHERE}.logit_scale: {scale:g} for {similarity}; it must scale cosines and be above 0")
    if bias is not None:
        bias = checked_number(bias, f"{_WHERE}.logit_bias", MAX_SCALE)
        if scale is None:
            raise FormatError(f"{_WHERE}.logit_bias: there is no logit_scale")
    fields.done()
    return ImageConfig(result, resize, resample, crop, labels, similarity, scale, bias)


def _size(fields: Fields) -> Size:
    return Size(fields.integer("height", 1, MAX_SIDE), fields.integer("width", 1, MAX_SIDE))


def _only_size(value: Any, where: str) -> Size:
    fields = Fields(value, where)
    size = _size(fields)
    fields.done()
    return size


def _resize(value: Any) -> ShortestEdge | Size | None:
    if value is None:
        return None
    where = f"{_WHERE}.resize"
    fields = Fields(value, where)
    resize: ShortestEdge | Size
    if fields.choice("mode", ("shortest_edge", "fixed")) == "fixed":
        resize = _size(fields)
    else:
        size = fields.integer("size", 1, MAX_SIDE)
        longest = fields.optional("max")
        if longest is not None:
            longest = checked_integer(longest, f"{where}.max", size, MAX_SIDE)
        resize = ShortestEdge(size, longest)
    fields.done()
    return resize


def _labels(value: Any, logits: int | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    where = f"{_WHERE}.labels"
    if not isinstance(value, list) or len(value) > MAX_LABELS:
        raise FormatError(f"{where}: expected a list of at most {MAX_LABELS} names")
    if len(value) != logits:
        raise FormatError(f"{where}: {len(value)} names for {logits or 'no'} logits")
    return tuple(checked_text(label, f"{where}[{index}]", MAX_LABEL) for index, label in enumerate(value))


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
