"""One picture to pixels: formats, modes, orientations, crops; and whatever is wrong with it is one InputError.

That the pixels are those of transformers is shown in tests/parity.
"""

from __future__ import annotations

import io
import pathlib
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

import embedrt
from embedrt._image import is_image_name, prepare
from embedrt._image_config import ImageConfig, ShortestEdge, Size
from embedrt._patterns import pattern

PICTURE = pattern(2, 30, 41)
# As it is: the numbers that went in are those that come out.
SAME = ImageConfig(Size(30, 41), None, "bicubic", None)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixels(image: Any, config: ImageConfig = SAME) -> np.ndarray:
    out = prepare(image, config)
    assert out.dtype == np.uint8 and out.shape == (*config.size, 3)
    return out


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA", "WEBP"])
def test_every_way_to_give_a_picture(form: str, tmp_path: pathlib.Path) -> None:
    image = Image.fromarray(PICTURE)
    content = encoded(image, form, **({"lossless": True} if form == "WEBP" else {}))
    path = tmp_path / "a picture.dat"
    path.write_bytes(content)
    for given in (PICTURE, image, content, path, str(path), Image.open(path)):
        np.testing.assert_array_equal(pixels(given), PICTURE)


def test_a_jpeg_has_all_its_pixels() -> None:
    """Pillow's draft mode would decode a large JPEG smaller, and give other pixels."""
    content = encoded(Image.fromarray(pattern(1, 400, 500)), "JPEG")
    config = ImageConfig(Size(40, 50), Size(40, 50), "bilinear", None)
    whole = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(pixels(content, config), pixels(whole, config))


def test_grey_and_views_of_arrays() -> None:
    grey = PICTURE[..., 1]
    np.testing.assert_array_equal(pixels(grey), np.repeat(grey[..., None], 3, 2))
    np.testing.assert_array_equal(pixels(Image.fromarray(grey)), pixels(grey))
    np.testing.assert_array_equal(pixels(PICTURE[::-1, ::-1]), PICTURE[::-1, ::-1])
    np.testing.assert_array_equal(pixels(PICTURE.transpose(1, 0, 2).copy().transpose(1, 0, 2)), PICTURE)


@pytest.mark.parametrize(("dtype", "form"), [(np.uint16, "PNG"), (np.uint16, "TIFF"), (np.int32, "TIFF")])
def test_sixteen_bits_keep_the_high_byte(dtype: type, form: str) -> None:
    wide = PICTURE[..., 0].astype(dtype) * 256 + PICTURE[..., 1]
    content = encoded(Image.fromarray(wide), form)
    np.testing.assert_array_equal(pixels(content), np.repeat(PICTURE[..., :1], 3, 2))
    above = np.array([[-5, 70000, 0x7FFF]], np.int32)
    config = ImageConfig(Size(1, 3), None, "bicubic", None)
    np.testing.assert_array_equal(pixels(Image.fromarray(above), config)[0, :, 0], [0, 255, 0x7F])


def test_alpha_is_dropped_without_a_warning() -> None:
    alpha = Image.fromarray(pattern(3, 30, 41)[..., 0])
    image = Image.fromarray(PICTURE)
    image.putalpha(alpha)
    palette = Image.fromarray(PICTURE).quantize(16)
    want = np.array(palette.convert("RGB"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixels(encoded(image, "PNG")), PICTURE)
        np.testing.assert_array_equal(pixels(encoded(palette, "PNG", transparency=bytes(range(16)))), want)
        palette.info["transparency"] = bytes(range(16))
        np.testing.assert_array_equal(pixels(palette), want)
    assert "transparency" in palette.info  # the caller's own picture is left as it was


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_the_camera_says(form: str, orientation: int) -> None:
    # What each orientation asks for, from the EXIF standard: where row 0 and column 0 of the file are seen.
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {"subsampling": 0, "quality": 100} if form == "JPEG" else {}
    content = encoded(Image.fromarray(PICTURE), form, exif=exif, **options)
    plain = np.array(Image.open(io.BytesIO(encoded(Image.fromarray(PICTURE), form, **options))).convert("RGB"))
    want = turn(plain)
    config = ImageConfig(Size(*want.shape[:2]), None, "bicubic", None)
    np.testing.assert_array_equal(pixels(content, config), want)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several(form: str) -> None:
    first, second = Image.new("RGB", (41, 30), (200, 30, 60)), Image.new("RGB", (41, 30), (0, 0, 255))
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(first, form, save_all=True, append_images=[second], **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 2
    np.testing.assert_array_equal(pixels(content), np.array(first))


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    [
        ((10, 21), (10, 20), (10, 31)),  # even and odd, out of 30 and 41
        ((11, 20), (9, 20), (10, 30)),
        ((30, 41), (0, 30), (0, 41)),
        ((33, 44), (-2, 31), (-2, 42)),  # beyond the picture: one more row and column before than after
        ((20, 60), (5, 25), (-10, 50)),
    ],
)
def test_the_middle(crop: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> None:
    around = np.pad(PICTURE, ((50, 50), (50, 50), (0, 0)))
    want = around[50 + rows[0] : 50 + rows[1], 50 + columns[0] : 50 + columns[1]]
    np.testing.assert_array_equal(pixels(PICTURE, ImageConfig(Size(*crop), None, "bicubic", Size(*crop))), want)


@pytest.mark.parametrize(
    ("height", "width", "resized"),
    [(30, 41, (20, 27)), (41, 30, (27, 20)), (30, 30, (20, 20)), (1, 50, (20, 1000)), (50, 1, (1000, 20))],
)
def test_the_shortest_edge(height: int, width: int, resized: tuple[int, int]) -> None:
    """The other edge is cut to a whole number: 20 · 41 / 30 = 27.3."""
    picture = pattern(5, height, width)
    want = Image.fromarray(picture).resize(resized[::-1], Image.Resampling.BOX)
    config = ImageConfig(Size(*resized), ShortestEdge(20, None), "box", Size(*resized))
    np.testing.assert_array_equal(pixels(picture, config), np.array(want))


def test_long_and_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ImageConfig(Size(20, 24), ShortestEdge(20, None), "nearest", Size(20, 24))
    for height, width in ((1, 5000), (5000, 1), (3, 4000), (4000, 3)):
        picture = pattern(height, height, width)
        want = pixels(picture, config)
        with monkeypatch.context() as patch:
            patch.setattr("embedrt._image._MOST_PIXELS", 1 << 17)
            np.testing.assert_array_equal(pixels(picture, config), want)
    with pytest.raises(
        embedrt.InputError, match="4000000 x 1 pixels are too long and thin to be resized to 80000000 x 20"
    ):
        prepare(np.zeros((1, 4_000_000, 3), np.uint8), config)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((30, 41, 3), np.float32),
        np.zeros((3, 30, 41), np.uint8),
        np.zeros((30, 41, 4), np.uint8),
        np.zeros((30, 41), bool),
    ],
)
def test_arrays_of_another_kind(array: np.ndarray) -> None:
    with pytest.raises(embedrt.InputError, match=r"expected uint8 \[height, width, 3\]"):
        prepare(array, SAME)


@pytest.mark.parametrize("image", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0), np.uint8), Image.new("RGB", (0, 3))])
def test_nothing_in_it(image: Any) -> None:
    for config in (SAME, ImageConfig(Size(3, 3), ShortestEdge(3, None), "box", Size(3, 3))):
        with pytest.raises(embedrt.InputError, match="there is nothing in it"):
            prepare(image, config)


def test_another_size_where_nothing_is_resized() -> None:
    with pytest.raises(embedrt.InputError, match="40 x 30 pixels; this model takes 41 x 30 only"):
        prepare(PICTURE[:, :40], SAME)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it can read all the same
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_damaged_files(form: str) -> None:
    """Cut short, or with other bytes here and there: pixels, or one InputError."""
    content = encoded(Image.fromarray(PICTURE), form)
    for end in (0, 1, 8, len(content) // 3, len(content) * 9 // 10):
        with pytest.raises(embedrt.InputError):
            prepare(content[:end], SAME)
    rng = np.random.default_rng(len(content))
    for _ in range(150):
        other = bytearray(content)
        for place in rng.integers(0, min(len(other), 400), 3):
            other[place] = rng.integers(256)
        try:
            prepare(bytes(other), SAME)
        except embedrt.InputError as error:
            assert str(error)


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    """More pixels than Pillow's limit, of which Pillow itself only warns, and more than twice as many."""
    content = encoded(Image.new("1", (41, 30)), "PNG")
    for limit in (1229, 600):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        for action in ("ignore", "error"):
            with warnings.catch_warnings():
                warnings.simplefilter(action)
                with pytest.raises(embedrt.InputError, match=r"1230 pixels|41 x 30 pixels, more than PIL"):
                    prepare(content, SAME)
    for limit in (1230, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        pixels(content)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "not a picture in a format that Pillow knows"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "EPS is a drawing"),
        (Image.new("F", (41, 30)), "floating point"),
        ("/nowhere/at all.jpg", "No such file or directory"),
        ("a\0b", "null"),
        (".", "directory"),
    ],
)
def test_what_is_no_picture(image: Any, words: str) -> None:
    with pytest.raises(embedrt.InputError, match=words):
        prepare(image, SAME)


def test_names() -> None:
    for name in ("a.jpg", "A.JPEG", "x.tar.png", "b.tiff", "ä b.webp", "line\nfeed.gif"):
        assert is_image_name(name)
    for name in ("a.txt", "jpg", ".jpg", "._a.jpg", "a.jpg.txt", "a.jpg\n", "", "a.mpg", "a.eps"):
        assert not is_image_name(name)
