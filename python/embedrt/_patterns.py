"""Test pictures made from integers alone: golden vectors and the default calibration rest on them.

Their bytes are part of what a model file means, so they never change: no floats, no library's random numbers. They are
made to excite a network as photographs do: things of all sizes that hide one another, textures with as much contrast
in every octave, smooth skies, hard edges, uneven light, colours that go together, some noise.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.int64]

# How many are made for use; any other index >= 0 gives a picture as well.
PATTERNS = 32
_ONE = 1 << 16
_MASK = (1 << 64) - 1


def pattern(index: int, height: int, width: int) -> NDArray[np.uint8]:
    """Picture `index` → uint8 [height, width, 3], the same bytes everywhere; four subjects in turn."""
    numbers = _Numbers(index)
    subject = (_texture, _leaves, _objects, _stripes)[index % 4]
    picture = subject(numbers, height, width)
    picture = picture * (_light(numbers, height, width)[..., None] + _ONE) // (2 * _ONE)
    for _ in range((0, 1, 1, 3)[numbers.below(4)]):
        picture = _softened(picture)
    grain = _hash(numbers, height, width * 3).reshape(height, width, 3) % (1 + 2 * numbers.below(6))
    picture = _exposed(numbers, picture) + grain - grain.max() // 2
    if numbers.below(8) == 0:
        picture = np.broadcast_to(picture.sum(2, keepdims=True) // 3, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


class _Numbers:
    """A stream of pseudo-random integers (the mixing function of SplitMix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = ((self._state ^ (self._state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 16) % limit

    def colour(self) -> Field:
        """RGB of 0 to 255 [3]: a brightness, and channels that stay near it."""
        tone = (30, 60, 100, 140, 180, 225)[self.below(6)]
        return np.array([min(255, max(0, tone + self.below(121) - 60)) for _ in range(3)], np.int64)


def _range(start: int, size: int) -> Field:
    return np.arange(start, start + size, dtype=np.int64)


def _hash(numbers: _Numbers, rows: int, columns: int) -> Field:
    """White noise of 0 to 65535 [rows, columns]."""
    value = np.arange(rows * columns, dtype=np.uint64) + np.uint64(numbers.below(1 << 40))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    noise: Field = (value >> np.uint64(48)).astype(np.int64).reshape(rows, columns)
    return noise


def _octave(numbers: _Numbers, height: int, width: int, cell: int) -> Field:
    """Smooth noise of 0 to 65535 [height, width] with features of `cell` pixels."""
    field = _hash(numbers, height // cell + 2, width // cell + 2)
    for axis, size in ((1, width), (0, height)):
        place, step = np.divmod(_range(0, size), cell)
        step = step * 256 // cell
        step = step * step * (768 - 2 * step) >> 16
        step = step if axis else step[:, None]
        field = (field.take(place, axis) * (256 - step) + field.take(place + 1, axis) * step) >> 8
    return field


def _fractal(numbers: _Numbers, height: int, width: int, finest: int = 1) -> Field:
    """Noise of 0 to 65535 [height, width] with the same contrast in every octave from `finest` pixels up."""
    total = np.zeros((height, width), np.int64)
    cell = max(2, max(height, width) // 2)
    while cell > finest:
        total += _octave(numbers, height, width, cell)
        cell //= 2
    total -= total.min()
    return total * (_ONE - 1) // max(1, int(total.max()))


def _ramp(numbers: _Numbers, height: int, width: int) -> Field:
    """A gradient of 0 to 65535 [height, width] in some direction."""
    rows = _range(0, height)[:, None] * _ONE // height
    columns = _range(0, width)[None] * _ONE // width
    part = numbers.below(_ONE)
    rows = rows if numbers.below(2) else _ONE - 1 - rows
    columns = columns if numbers.below(2) else _ONE - 1 - columns
    ramp: Field = (rows * part + columns * (_ONE - part)) // _ONE
    return ramp


def _light(numbers: _Numbers, height: int, width: int) -> Field:
    return _octave(numbers, height, width, max(2, max(height, width)))


def _coloured(numbers: _Numbers, tone: Field) -> Field:
    """`tone` of 0 to 65535 [h, w] as a way from one colour through a second to a third: [h, w, 3]."""
    first, second, third = numbers.colour(), numbers.colour(), numbers.colour()
    tone = 2 * tone[..., None]
    low, high = np.minimum(tone, _ONE), np.maximum(tone - _ONE, 0)
    colours: Field = (first * (_ONE - low) + second * (low - high) + third * high) // _ONE
    return colours


def _texture(numbers: _Numbers, height: int, width: int) -> Field:
    """Clouds, stone, grass: by how fine it is and how much of a gradient lies under it."""
    tone = _fractal(numbers, height, width, 1 << numbers.below(4))
    part = numbers.below(4)
    return _coloured(numbers, (tone * (4 - part) + _ramp(numbers, height, width) * part) // 4)


def _leaves(numbers: _Numbers, height: int, width: int) -> Field:
    """Things of all sizes before one another, as many of each size as keeps the picture alike at every scale."""
    picture = _texture(numbers, height, width)
    largest = max(2, max(height, width) // 3)
    smallest = max(1, largest // 16)
    boxes = numbers.below(3)
    for _ in range(600):
        radius = min(largest, smallest * 256 // isqrt(1 + numbers.below(_ONE - 1)))
        _put(numbers, picture, radius, box=numbers.below(3) < boxes)
    return picture


def _objects(numbers: _Numbers, height: int, width: int) -> Field:
    """A few large things before a smooth background."""
    picture = _coloured(numbers, (_ramp(numbers, height, width) * 3 + _fractal(numbers, height, width, 8)) // 4)
    size = max(height, width)
    for part in range(3 + numbers.below(12)):
        _put(numbers, picture, max(1, size * (8 + numbers.below(16)) // (48 + 16 * part)), box=numbers.below(3) == 0)
    return picture


def _stripes(numbers: _Numbers, height: int, width: int) -> Field:
    """Bent stripes or checks, as of fences, tiles and fabrics."""
    size = max(height, width)
    rows, columns = _range(0, height)[:, None] * 256, _range(0, width)[None] * 256
    slope = numbers.below(257) - 128
    across = columns + (rows * slope >> 8) + _octave(numbers, height, width, max(2, size // 2)) * size // 2048
    down = rows - (columns * slope >> 8) + _octave(numbers, height, width, max(2, size // 2)) * size // 2048
    period = 256 * max(2, size // (6 + numbers.below(30)))
    tone = (across // period + (down // period if numbers.below(2) else 0)) & 1
    shade = _fractal(numbers, height, width, 2)
    picture = np.where(tone[..., None] == 1, _coloured(numbers, shade), _coloured(numbers, shade))
    for _ in range(numbers.below(6)):
        _put(numbers, picture, max(1, size // (4 + numbers.below(8))), box=False)
    return picture


def _put(numbers: _Numbers, picture: Field, radius: int, *, box: bool) -> None:
    """Paint an ellipse or a slanted box of about that radius over `picture`, with a shade of its own."""
    height, width = picture.shape[:2]
    y, x = numbers.below(height), numbers.below(width)
    wide, high = radius * (128 + numbers.below(129)) // 256 + 1, radius * (128 + numbers.below(129)) // 256 + 1
    slope = numbers.below(257) - 128
    top, left = max(0, y - 2 * radius), max(0, x - 2 * radius)
    part = picture[top : y + 2 * radius + 1, left : x + 2 * radius + 1]
    rows = _range(top - y, part.shape[0])[:, None]
    columns = _range(left - x, part.shape[1])[None]
    along, across = columns + (rows * slope >> 8), rows - (columns * slope >> 8)
    if box:
        inside = (abs(along) <= wide) & (abs(across) <= high)
    else:
        inside = along * along * high * high + across * across * wide * wide <= wide * wide * high * high
    size = part.shape[:2]
    shade = _ramp(numbers, *size) if numbers.below(2) else _fractal(numbers, *size)
    first, second = numbers.colour(), numbers.colour()
    second = (first * 2 + second) // 3
    shade = shade[..., None]
    part[inside] = ((first * (_ONE - shade) + second * shade) // _ONE)[inside]


def _softened(picture: Field) -> Field:
    """A blur over 3 by 3 pixels: edges of photographs are not hard."""
    for axis in (0, 1):
        size = picture.shape[axis]
        place = _range(0, size)
        before, after = np.maximum(place - 1, 0), np.minimum(place + 1, size - 1)
        picture = (picture.take(before, axis) + 2 * picture + picture.take(after, axis) + 2) // 4
    return picture


def _exposed(numbers: _Numbers, picture: Field) -> Field:
    """Values stretched so that most of 0 to 255 is used: sometimes less of it, sometimes more than there is."""
    ordered = np.sort(picture, axis=None)
    low, high = int(ordered[len(ordered) // 32]), int(ordered[-1 - len(ordered) // 32])
    bottom, top = numbers.below(64) - 16, 272 - numbers.below(80)
    return (picture - low) * (top - bottom) // max(1, high - low) + bottom
