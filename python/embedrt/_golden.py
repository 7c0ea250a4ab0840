"""The golden inputs of a model file: texts and pairs with their ids, and test pictures, with what they gave."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedrt import _core
from embedrt._errors import FormatError
from embedrt._image_config import IMAGE
from embedrt._json import Fields, checked_text, load_object
from embedrt._outputs import LOGITS, SENTENCE, SPARSE, main_output
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
    """How many inputs agreed; `cosine_worst` says how far when the vectors are of another numerics revision.

    Of logits, which may be a single number, it is that of all inputs' together.
    """

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
    output = main_output(model._open().outputs()) if model._open().vocabulary else IMAGE
    fields.choice("output", (str(output),))
    items = fields.list("items", _MAX_ITEMS)
    pairs: list[tuple[Vector, Vector]] = []
    for index, value in enumerate(items):
        item = Fields(value, f"{_WHERE}.items[{index}]")
        vector = _picture(model, item) if "image" in value else _text(model, item, str(output))
        stored = _stored(item, vector.size, sparse=output == SPARSE)
        pairs.append((vector, stored))
        if revision == _core.NUMERICS_REVISION and vector.astype("<f4").tobytes() != stored.astype("<f4").tobytes():
            off = float(np.max(np.abs(vector - stored)))
            raise FormatError(f"{item.where}: the vector differs from the one stored, by up to {off:.2e}")
    if output == LOGITS and pairs:
        pairs = [(np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs]))]
    worst = min((float(similarity(one, other, "cosine")[0, 0]) for one, other in pairs), default=1.0)
    return GoldenResult(len(items), revision, worst)


def picture_vector(model: Model, index: int) -> Vector:
    """The image embedding of a test picture in the size of the model's program: nothing is decoded or resized."""
    assert model.image_size is not None
    pixels = pattern(index, *model.image_size)
    return model._open().run_images(pixels[None], IMAGE).reshape(-1)


def _text(model: Model, item: Fields, output: str) -> Vector:
    text, pair = item.text("text", _MAX_TEXT), item.optional("pair")
    core, tokenizer = model._open(), model._need_tokenizer()
    types = None
    if pair is None:
        ids = model.token_ids(text)
    else:
        batch = tokenizer.encode_pairs([text], [checked_text(pair, f"{item.where}.pair", _MAX_TEXT)], model.max_tokens)
        ids = batch.ids.tolist()
        types = batch.types if core.types_count else None
    if item.list("ids", _MAX_IDS) != ids:
        raise FormatError(f"{item.where}: the text's token ids are not those stored; its tokenizer has changed")
    vector: Vector
    if output == SENTENCE and pair is None:
        vector = model._encoded(text, prompt="")[0]
    else:
        vector = core.run(np.array(ids, np.int32), np.array([0, len(ids)]), output, types=types).reshape(-1)
    return vector


def _picture(model: Model, item: Fields) -> Vector:
    where = f"{item.where}.image"
    if model.image_size is None:
        raise FormatError(f"{where}: the program takes no images")
    return picture_vector(model, Fields(item.raw("image"), where).integer("pattern", 0, 2**32 - 1))


def _stored(item: Fields, size: int, sparse: bool) -> Vector:
    """The vector of that size that an item has; a sparse one without its zeros."""
    if not sparse:
        return np.frombuffer(_data(item, "vector", size, "float32"), "<f4").astype(np.float32)
    columns = np.frombuffer(_data(item, "columns", None, "uint32"), "<u4")
    if len(columns) and columns.max() >= size:
        raise FormatError(f"{item.where}.columns: {columns.max()}, the vector has {size}")
    vector = np.zeros(size, np.float32)
    vector[columns] = np.frombuffer(_data(item, "vector", len(columns), "float32"), "<f4")
    return vector


def _data(item: Fields, key: str, count: int | None, kind: str) -> bytes:
    """The bytes of `count` numbers of four bytes each, of any number of them for None."""
    value = item.raw(key)
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or len(data) % 4 or (count is not None and len(data) != 4 * count):
        many = "some" if count is None else count
        raise FormatError(f"{item.where}.{key}: expected the base64 of {many} {kind}")
    return data
