"""What `Model.encode_image` gives back: shapes, values from the pixels, errors by item, the same bits in any batch."""

from __future__ import annotations

import io
import json
import pathlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from tiny_image import CLASSES, LABELS, PATCH, SECTION, SIZE, patches, weights, write_image_model
from tiny_model import DIM, golden_item

import embedrt
from embedrt import _core
from embedrt._golden import check_golden
from embedrt._image import prepare
from embedrt._image_config import parse_image_config
from embedrt._patterns import pattern

SHAPES = [(12, 16), (30, 40), (41, 23), (1, 1), (18, 18), (100, 20), (5, 64)]
PICTURES = [pattern(index, *shape) for index, shape in enumerate(SHAPES)]
# Sums of 48 products and of 12 patches of about 1: roundings of float32.
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    section = SECTION | {"labels": LABELS}
    return write_image_model(tmp_path_factory.mktemp("images") / "tiny.embedrt", section=section)


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    section = SECTION | {"logit_scale": 20.0}
    return write_image_model(tmp_path_factory.mktemp("towers") / "two.embedrt", section=section, texts=True)


@pytest.fixture
def model(path: pathlib.Path) -> embedrt.Model:
    return embedrt.load(path, threads=2)


def prepared() -> np.ndarray:
    config = parse_image_config(json.dumps(SECTION).encode(), SIZE, None)
    return np.stack([prepare(picture, config) for picture in PICTURES])


def test_attributes(model: embedrt.Model, towers: pathlib.Path) -> None:
    assert (model.dim, model.max_tokens, model.image_size, model.labels) == (DIM, 0, SIZE, tuple(LABELS))
    assert model.info.image is not None and model.info.image.size == SIZE
    assert repr(model).startswith("<embedrt.Model tiny.embedrt: 20 columns, images of 12 x 16, ")
    both = embedrt.load(towers)
    assert (both.dim, both.max_tokens, both.image_size, both.labels) == (DIM, 16, SIZE, None)
    assert "20 columns, 16 tokens, images of 12 x 16, " in repr(both)


def test_vectors_are_those_of_the_pixels(model: embedrt.Model) -> None:
    grid, data = patches(prepared()), weights()
    mean = grid.mean((1, 2))
    positions = data["position"].reshape(*grid.shape[1:])
    want = {
        "image_embedding": mean,
        "class_token": np.repeat(data["prefix"], len(PICTURES), 0),
        "patch_mean": mean + data["position"].mean(0),
        "patch_embeddings": grid + positions,
        "logits": mean @ data["head"].T,
    }
    for name, expected in want.items():
        vectors = model.encode_image(PICTURES, output_value=name)  # type: ignore[arg-type]
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, **CLOSE, err_msg=name)
        one = model.encode_image(PICTURES[2], output_value=name)  # type: ignore[arg-type]
        np.testing.assert_array_equal(one, vectors[2])
    np.testing.assert_array_equal(
        model.encode_image(PICTURES), model.encode_image(PICTURES, output_value="image_embedding")
    )


def test_shapes_of_nothing_and_of_one(model: embedrt.Model) -> None:
    grid = (SIZE[0] // PATCH, SIZE[1] // PATCH, DIM)
    assert model.encode_image([]).shape == (0, DIM)
    assert model.encode_image([], output_value="patch_embeddings").shape == (0, *grid)
    assert model.encode_image([], truncate_dim=3, normalize_embeddings=True).shape == (0, 3)
    assert model.encode_image(PICTURES[0]).shape == (DIM,)
    assert model.encode_image(PICTURES[0], output_value="patch_embeddings").shape == grid
    assert model.encode_image(PICTURES[0], output_value="logits").shape == (CLASSES,)
    assert model.encode_image([PICTURES[0]]).shape == (1, DIM)


def test_every_way_to_give_pictures(model: embedrt.Model, tmp_path: pathlib.Path) -> None:
    images = [Image.fromarray(picture) for picture in PICTURES]
    paths = [tmp_path / f"{index}.png" for index in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    want = model.encode_image(PICTURES)
    for given in (images, tuple(paths), map(str, paths), (path.read_bytes() for path in paths), np.array(paths)):
        np.testing.assert_array_equal(model.encode_image(given), want)
    for one in (images[1], paths[1], str(paths[1]), paths[1].read_bytes()):
        np.testing.assert_array_equal(model.encode_image(one), want[1])
    batch = np.stack([pattern(index, 20, 30) for index in range(5)])
    np.testing.assert_array_equal(model.encode_image(batch), model.encode_image(list(batch)))
    # One lazily opened picture that is to be turned, given many times over to several threads.
    exif = Image.Exif()
    exif[0x0112] = 3
    images[4].rotate(180).save(paths[4], exif=exif)
    with Image.open(paths[4]) as lazy:
        np.testing.assert_array_equal(model.encode_image([lazy] * 40), np.repeat(want[4:5], 40, 0))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_alone_and_in_any_batch(
    path: pathlib.Path, threads: int, monkeypatch: pytest.MonkeyPatch, threads_left: Callable[[], int]
) -> None:
    rng = random.Random(threads)
    reference = embedrt.load(path, threads=1)
    pictures = [pattern(index, rng.randrange(1, 40), rng.randrange(1, 40)) for index in range(60)]
    outputs = ("image_embedding", "patch_embeddings", "logits")
    alone = {
        (index, name): reference.encode_image(picture, output_value=name).tobytes()
        for index, picture in enumerate(pictures)
        for name in outputs
    }
    model = embedrt.load(path, threads=threads)
    for chunk in (1, 16, 7):
        monkeypatch.setattr("embedrt._encode_image._CHUNK_IMAGES", chunk)
        places = rng.sample(range(60), rng.randrange(30, 60))
        for name in outputs:
            vectors = model.encode_image([pictures[place] for place in places], output_value=name)
            assert [vector.tobytes() for vector in vectors] == [alone[place, name] for place in places]
    assert threads_left() == 0


def test_chunks_are_bounded_in_bytes(model: embedrt.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    want = model.encode_image(PICTURES)
    sizes: list[int] = []

    class Counting:
        threads, grid, outputs = 2, model._open().grid, model._open().outputs

        def run_images(self, pixels: np.ndarray, output: str) -> np.ndarray:
            sizes.append(pixels.nbytes)
            return core.run_images(pixels, output)

    core, model._core = model._open(), Counting()  # type: ignore[assignment]
    monkeypatch.setattr("embedrt._encode_image._CHUNK_BYTES", 3 * 3 * SIZE[0] * SIZE[1])
    np.testing.assert_array_equal(model.encode_image(PICTURES), want)
    assert max(sizes) == 3 * 3 * SIZE[0] * SIZE[1] and len(sizes) == 3


def test_several_threads_at_once(model: embedrt.Model) -> None:
    want = model.encode_image(PICTURES)
    found: list[bool] = []

    def work() -> None:
        found.append(all(np.array_equal(model.encode_image(PICTURES), want) for _ in range(10)))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [True] * 4


def test_normalize_and_truncate_dim(model: embedrt.Model) -> None:
    vectors = model.encode_image(PICTURES)
    np.testing.assert_array_equal(model.encode_image(PICTURES, truncate_dim=5), vectors[:, :5])
    short = vectors[:, :5].astype(np.float64)
    np.testing.assert_allclose(
        model.encode_image(PICTURES, truncate_dim=5, normalize_embeddings=True),
        short / np.linalg.norm(short, axis=1, keepdims=True),
        rtol=2**-23,
    )
    assert model.encode_image(PICTURES, output_value="class_token", truncate_dim=99).shape == (len(PICTURES), DIM)
    for name in ("logits", "patch_embeddings"):
        for options in ({"truncate_dim": 3}, {"normalize_embeddings": True}):
            with pytest.raises(embedrt.InputError, match=f"not for {name}"):
                model.encode_image(PICTURES, output_value=name, **options)  # type: ignore[call-overload]


@pytest.fixture
def some_broken(tmp_path: pathlib.Path) -> list[object]:
    """Pictures 1, 3 and 4 cannot be used."""
    Image.fromarray(PICTURES[1]).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    missing, whole = tmp_path / "missing.png", tmp_path / "whole.png"
    return [PICTURES[0], tmp_path / "cut.png", content, PICTURES[0].astype(np.float32), str(missing), whole]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 16])
def test_errors_by_item(
    path: pathlib.Path, some_broken: list[object], threads: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedrt._encode_image._CHUNK_IMAGES", chunk)
    model = embedrt.load(path, threads=threads)
    with pytest.raises(embedrt.InputError, match=r"^images\[1\], .*/cut\.png: .*truncated"):
        model.encode_image(some_broken)
    with pytest.raises(embedrt.InputError, match=r"^images\[0\], .*/cut\.png: "):
        model.encode_image(some_broken[1])
    want = model.encode_image([PICTURES[0], PICTURES[1]])
    vectors, info = model.encode_image(some_broken, on_error="skip", return_info=True)
    np.testing.assert_array_equal(vectors[[0, 2, 5]], want[[0, 1, 1]])
    assert np.isnan(vectors[[1, 3, 4]]).all()
    assert info.images == 3 and list(info.failed) == [1, 3, 4]
    assert "cut.png: " in info.failed[1] and "missing.png: No such file" in info.failed[4]
    assert info.failed[3] == "array float32 [12, 16, 3]: expected uint8 [height, width, 3], or [height, width] for grey"
    np.testing.assert_array_equal(model.encode_image(some_broken, on_error="skip"), vectors)
    grid = model.encode_image(some_broken, on_error="skip", output_value="patch_embeddings")
    assert np.isnan(grid[[1, 3, 4]]).all() and np.isfinite(grid[[0, 2, 5]]).all()
    assert np.isnan(model.encode_image(some_broken[1], on_error="skip")).all()
    assert model.encode_image([], return_info=True)[1] == embedrt.ImageInfo(0, {})


@pytest.mark.parametrize("bad", [None, 3, ["nested"], 1.5, {"a": 1}])
def test_what_is_no_image_is_named_by_its_index(model: embedrt.Model, bad: object) -> None:
    with pytest.raises(TypeError, match=rf"images\[2\] is a {type(bad).__name__}, not a path"):
        model.encode_image([*PICTURES[:2], bad], on_error="skip")
    if not isinstance(bad, (list, dict)):
        with pytest.raises(TypeError, match=f"not a {type(bad).__name__}"):
            model.encode_image(bad)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "options",
    [
        {"output_value": "sentence_embedding"},
        {"on_error": "ignore"},
        {"batch_size": 0},
        {"convert_to_numpy": False},
        {"truncate_dim": 0},
    ],
)
def test_arguments_that_cannot_be_used(model: embedrt.Model, options: dict[str, object]) -> None:
    with pytest.raises(embedrt.InputError, match=next(iter(options))):
        model.encode_image(PICTURES, **options)  # type: ignore[call-overload]


def test_an_output_that_the_model_does_not_have(tmp_path: pathlib.Path) -> None:
    model = embedrt.load(write_image_model(tmp_path / "a.embedrt", outputs=("image_embedding",)))
    with pytest.raises(embedrt.InputError, match=r"'logits', this model has image_embedding$"):
        model.encode_image(PICTURES, output_value="logits")


def test_models_of_one_kind_only(model: embedrt.Model, model_path: pathlib.Path) -> None:
    for call in (model.encode, model.count_tokens, model.token_ids, model.encode_query):
        with pytest.raises(embedrt.EmbedrtError, match="takes images, not texts: use encode_image"):
            call("a text")
    with pytest.raises(embedrt.EmbedrtError, match="takes texts, not images: use encode"):
        embedrt.load(model_path).encode_image(PICTURES)
    model.close()
    with pytest.raises(embedrt.EmbedrtError, match="closed"):
        model.encode_image(PICTURES)


def test_progress_bar(model: embedrt.Model, some_broken: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    model.encode_image(some_broken, on_error="skip", show_progress_bar=True)
    assert "Images" in (err := capsys.readouterr().err) and "6/6" in err
    model.encode_image(PICTURES)
    assert capsys.readouterr().err == ""


def test_pillow_is_imported_for_pictures_only(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    code = (
        "import sys, embedrt; model = embedrt.load(sys.argv[1]); model.info; print('PIL' in sys.modules); "
        "sys.modules['PIL'] = None\n"
        "try: model.encode_image(sys.argv[2])\n"
        "except embedrt.EmbedrtError as error: print(error)"
    )
    arguments = [sys.executable, "-c", code, str(path), str(tmp_path / "a.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert first == "False" and 'pip install "embedrt[image]"' in second, done.stderr


def test_similarity_and_zero_shot(towers: pathlib.Path, tmp_path: pathlib.Path, model: embedrt.Model) -> None:
    clip = embedrt.load(towers)
    labels = ["hello", "world", "the password"]
    images = clip.encode_image(PICTURES).astype(np.float64)
    texts = clip.encode([f"a photo of a {label}." for label in labels]).astype(np.float64)
    cosines = (images @ texts.T) / np.linalg.norm(images, axis=1)[:, None] / np.linalg.norm(texts, axis=1)
    np.testing.assert_allclose(clip.similarity(images, texts), 20 * cosines, atol=1e-5)
    powers = np.exp(20 * cosines)
    want = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(clip.zero_shot(PICTURES, labels), want, atol=1e-5)
    np.testing.assert_allclose(clip.zero_shot(PICTURES[1], iter(labels)), want[1], atol=1e-5)
    assert clip.zero_shot([], labels).shape == (0, 3) and clip.zero_shot(PICTURES, []).shape == (len(PICTURES), 0)
    np.testing.assert_array_equal(
        clip.zero_shot(PICTURES, ["the hello"], "{}"), np.ones((len(PICTURES), 1), np.float32)
    )
    assert not np.array_equal(clip.zero_shot(PICTURES, labels, "{}"), clip.zero_shot(PICTURES, labels))

    section = SECTION | {"logit_scale": 20.0, "logit_bias": -7.5}
    siglip = embedrt.load(write_image_model(tmp_path / "a.embedrt", section=section, texts=True))
    np.testing.assert_allclose(siglip.similarity(images, texts), 20 * cosines - 7.5, atol=1e-5)
    np.testing.assert_allclose(siglip.zero_shot(PICTURES, labels), 1 / (1 + np.exp(7.5 - 20 * cosines)), atol=1e-5)

    with pytest.raises(embedrt.InputError, match=r"'a cat'; it needs a \"\{\}\""):
        clip.zero_shot(PICTURES, labels, "a cat")
    with pytest.raises(TypeError, match=r"texts\[1\] is a int"):
        clip.zero_shot(PICTURES, ["a", 3])  # type: ignore[list-item]
    with pytest.raises(embedrt.EmbedrtError, match="no logit_scale"):
        model.zero_shot(PICTURES, labels)


def test_texts_of_a_model_of_both(towers: pathlib.Path, model_path: pathlib.Path) -> None:
    texts = ["hello world", "the password"]
    np.testing.assert_array_equal(embedrt.load(towers).encode(texts), embedrt.load(model_path).encode(texts))


def test_golden_pictures(tmp_path: pathlib.Path) -> None:
    """Vectors of the core, which are those of the pixels, as a converter stores them."""
    path = write_image_model(tmp_path / "a.embedrt", texts=True)
    model = embedrt.load(path)
    core = _core.Model(str(path))
    pictures = np.stack([pattern(index, *SIZE) for index in (0, 7)])
    vectors = core.run_images(pictures, "image_embedding")
    np.testing.assert_allclose(vectors, patches(pictures).mean((1, 2)), **CLOSE)
    items = [golden_item("hello", model.token_ids("hello"), model.encode("hello"))]
    for index, vector in zip((0, 7), vectors, strict=True):
        picture = golden_item("", [], vector)
        items.append({"image": {"pattern": index}, "vector": picture["vector"]})
    golden = {"numerics_revision": _core.NUMERICS_REVISION, "output": "sentence_embedding", "items": items}
    result = check_golden(embedrt.load(write_image_model(tmp_path / "b.embedrt", texts=True, golden=golden)))
    assert result is not None and (result.items, result.same_revision) == (3, True)

    items[1]["image"] = {"pattern": 1}
    wrong = write_image_model(tmp_path / "c.embedrt", texts=True, golden=golden)
    with pytest.raises(embedrt.FormatError, match=r"items\[1\]: the vector differs"):
        check_golden(embedrt.load(wrong))
    for bad, words in (({"pattern": -1}, "pattern: -1"), ({}, "'pattern' is missing"), (3, "expected an object")):
        items[1]["image"] = bad
        wrong = write_image_model(tmp_path / "d.embedrt", texts=True, golden=golden)
        with pytest.raises(embedrt.FormatError, match=rf"items\[1\]\.image.*{words}"):
            check_golden(embedrt.load(wrong))


def test_pickled_and_from_bytes(path: pathlib.Path) -> None:
    import pickle

    model = embedrt.load(path.read_bytes())
    again = pickle.loads(pickle.dumps(embedrt.load(path)))
    want = embedrt.load(path).encode_image(PICTURES)
    for other in (model, again):
        np.testing.assert_array_equal(other.encode_image(PICTURES), want)
    file = io.BytesIO()
    Image.fromarray(PICTURES[0]).save(file, "PNG")
    np.testing.assert_array_equal(model.encode_image(file.getvalue()), want[0])
