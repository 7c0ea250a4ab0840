"""The golden inputs of a model file: texts with their ids, and test pictures, with the vectors that they had."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedrt import _core
from embedrt._encode import SENTENCE
from embedrt._errors import FormatError
from embedrt._image_config import IMAGE
from embedrt._json import Fields, load_object
from embedrt._patterns import pattern
from embedrt._similarity import similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrt._model import Model

    Vector = NDArray[np.float32]

_WHERE = "golden section"
_MAX_ITEMS = 4096
_MAX_TEXT = 1 << 20
_MAX_IDS = 1 << 20


@dataclass(frozen=True)
class GoldenResult:
    """How many inputs agreed; `cosine_worst` says how far when the vectors are of another numerics revision."""

    items: int
    revision: int
    cosine_worst: float

    @property
    def same_revision(self) -> bool:
        return self.revision == _core.NUMERICS_REVISION


def check_golden(model: Model) -> GoldenResult | None:
    """Run the golden inputs, after tokenising the texts among them; None if the file has none.

    Raises FormatError when an input has other ids than stored or, under the same numerics revision, other bits.
    """
    section = model.section("golden")
    if section is None:
        return None
    fields = Fields(load_object(section, _WHERE, max_depth=32), _WHERE)
    revision = fields.integer("numerics_revision", 0, 2**32 - 1)
    fields.choice("output", (SENTENCE, IMAGE))
    items = fields.list("items", _MAX_ITEMS)
    worst = 1.0
    for index, value in enumerate(items):
        item = Fields(value, f"{_WHERE}.items[{index}]")
        vector = _picture(model, item) if "image" in value else _text(model, item)
        stored = _vector(item.raw("vector"), item.where, model.dim)
        if revision == _core.NUMERICS_REVISION and vector.astype("<f4").tobytes() != stored.astype("<f4").tobytes():
            off = float(np.max(np.abs(vector - stored)))
            raise FormatError(f"{item.where}: the vector differs from the one stored, by up to {off:.2e}")
        worst = min(worst, float(similarity(vector, stored, "cosine")[0, 0]))
    return GoldenResult(len(items), revision, worst)


def picture_vector(model: Model, index: int) -> Vector:
    """The image embedding of a test picture in the size of the model's program: nothing is decoded or resized."""
    assert model.image_size is not None
    pixels = pattern(index, *model.image_size)
    return model._open().run_images(pixels[None], IMAGE).reshape(-1)


def _text(model: Model, item: Fields) -> Vector:
    text = item.text("text", _MAX_TEXT)
    ids = model.token_ids(text)
    if item.list("ids", _MAX_IDS) != ids:
        raise FormatError(f"{item.where}: the text's token ids are not those stored; its tokenizer has changed")
    vector: Vector = model._encoded(text, prompt="")[0]
    return vector


def _picture(model: Model, item: Fields) -> Vector:
    where = f"{item.where}.image"
    if model.image_size is None:
        raise FormatError(f"{where}: the program takes no images")
    return picture_vector(model, Fields(item.raw("image"), where).integer("pattern", 0, 2**32 - 1))


def _vector(value: object, where: str, dim: int) -> Vector:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != 4 * dim:
        raise FormatError(f"{where}.vector: expected the base64 of {dim} float32")
    return np.frombuffer(data, "<f4").astype(np.float32)
