"""Programs of images in the core: against the reference in NumPy, and the same bits however they are run."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_programs import HEIGHT, MADE, WIDTH, pictures
from numeric_programs import core_model
from numpy.typing import NDArray

from embedrt import InputError, _core
from embedrt_convert import reference
from embedrt_convert.builder import Program

CASES = [(name, output) for name in MADE for output in MADE[name]("fp32").outputs]


@functools.cache
def program(name: str, precision: str) -> Program:
    return MADE[name](precision)


@functools.cache
def model(name: str, precision: str, threads: int) -> _core.Model:
    return core_model(program(name, precision), threads)


def expected(name: str, precision: str, output: str, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    found = reference.run_images(program(name, precision), pixels, output)
    return found.reshape(len(pixels), -1, found.shape[1]) if output == "patch_embeddings" else found


@pytest.mark.parametrize(("name", "output"), CASES)
def test_floats_are_those_of_the_reference(name: str, output: str) -> None:
    """About 15 ops of at most 600 products each: a relative error of some 600 roundings."""
    pixels = pictures(3)
    wanted = expected(name, "fp32", output, pixels)
    found = model(name, "fp32", 1).run_images(pixels, output)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=600 * 2.0**-24 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "output"), CASES)
def test_bytes_are_those_of_the_reference(name: str, output: str) -> None:
    """The reference computes in float64, so a byte in some thousands is rounded to the other side."""
    pixels = pictures(3)
    wanted = expected(name, "int8", output, pixels)
    found = model(name, "int8", 1).run_images(pixels, output)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.02 * np.abs(wanted).max())
    assert np.abs(found - wanted).mean() < 2e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(("name", "output"), CASES)
def test_bytes_stay_near_the_floats(name: str, output: str) -> None:
    pixels = pictures(8)
    wanted = expected(name, "fp32", output, pixels).reshape(8, -1)
    found = model(name, "int8", 1).run_images(pixels, output).reshape(8, -1)
    cosines = (wanted * found).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize("precision", ["int8", "fp32"])
@pytest.mark.parametrize(("name", "output"), CASES)
def test_the_same_bits_in_any_batch_on_any_threads(name: str, output: str, precision: str) -> None:
    pixels = pictures(11)
    alone = [model(name, precision, 1).run_images(one[None], output)[0].tobytes() for one in pixels]
    for threads in (1, 2, 7):
        for size in (1, 2, 3, 5, 8, 11):
            found = [
                each.tobytes()
                for first in range(0, 11, size)
                for each in model(name, precision, threads).run_images(pixels[first : first + size], output)
            ]
            assert found == alone
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(model(name, precision, 2).run_images, pixels, output) for _ in range(4)]
        assert all([each.tobytes() for each in call.result()] == alone for call in calls)


def test_pixels_of_another_shape_are_refused() -> None:
    one = model("network", "int8", 1)
    assert one.image_size == (HEIGHT, WIDTH)
    for shape in ((1, WIDTH, HEIGHT, 3), (1, HEIGHT, WIDTH, 4), (HEIGHT, WIDTH, 3)):
        with pytest.raises(InputError, match=r"pixels must be \[n, 19, 23, 3\]"):
            one.run_images(np.zeros(shape, np.uint8), "image_embedding")
    assert one.run_images(np.zeros((0, HEIGHT, WIDTH, 3), np.uint8), "image_embedding").shape == (0, 33)
    with pytest.raises(InputError, match="of images, not of texts"):
        one.run(np.zeros(0, np.int32), np.zeros(1, np.int64), "image_embedding")
