"""The section `image`: what it says is read, and anything else is one FormatError that names it."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from tiny_image import LABELS, SECTION, write_image_model
from tiny_model import write_model

import embedrt
from embedrt._image_config import ImageConfig, ShortestEdge, Size, parse_image_config

FIXED = {"mode": "fixed", "height": 12, "width": 16}


def parse(section: dict[str, Any], logits: int | None = 3) -> ImageConfig:
    return parse_image_config(json.dumps(section).encode(), (12, 16), logits)


def test_what_it_says() -> None:
    assert parse(SECTION) == ImageConfig(Size(12, 16), ShortestEdge(18, None), "bicubic", Size(12, 16))
    more = {"resize": FIXED, "crop": None, "labels": LABELS, "logit_scale": 20, "logit_bias": -3.5}
    size = Size(12, 16)
    assert parse(SECTION | more) == ImageConfig(size, size, "bicubic", None, tuple(LABELS), "cosine", 20.0, -3.5)
    longest = {"mode": "shortest_edge", "size": 18, "max": 30}
    assert parse(SECTION | {"resize": longest}).resize == ShortestEdge(18, 30)
    # Pictures that already have their size.
    assert parse(SECTION | {"resize": None, "crop": None}).resize is None
    for name in ("labels", "similarity", "logit_scale", "logit_bias"):
        assert parse({key: value for key, value in SECTION.items() if key != name}) == parse(SECTION)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"height": 13}, "13 x 16 pixels, the program takes 12 x 16"),
        ({"width": 0}, "width: 0 is not within"),
        ({"height": 12.0}, "height: expected an integer"),
        ({"resize": {"mode": "fixed", "height": 12, "width": 16, "size": 4}}, "resize: unknown key 'size'"),
        ({"resize": {"mode": "longest_edge", "size": 12}}, "resize.mode: str 'longest_edge' is not one of"),
        ({"resize": {"mode": "shortest_edge", "size": 1 << 15}}, "resize.size: 32768 is not within"),
        ({"resize": {"mode": "shortest_edge", "size": 12, "max": 11}}, "resize.max: 11 is not within"),
        ({"resize": [12, 16]}, "resize: expected an object"),
        ({"resample": "sinc"}, "resample: str 'sinc' is not one of"),
        ({"resample": 3}, "resample: int 3 is not one of"),
        ({"crop": {"height": 12}}, "crop: 'width' is missing"),
        ({"crop": {"height": 12, "width": 15}}, "the last step gives 12 x 15, not 12 x 16 pixels"),
        ({"crop": None}, "the last step gives by the shortest edge alone, not 12 x 16"),
        ({"crop": None, "resize": FIXED | {"width": 15}}, "the last step gives 12 x 15"),
        ({"labels": ["cat", "dog"]}, "labels: 2 names for 3 logits"),
        ({"labels": ["cat", "dog", 3]}, r"labels\[2\]: expected a string"),
        ({"labels": ["cat", "dog", "\ud800"]}, r"labels\[2\]: a lone surrogate"),
        ({"labels": ["cat", "dog", "x" * 2000]}, r"labels\[2\]: 2000 characters"),
        ({"labels": "cat"}, "labels: expected a list"),
        ({"similarity": "angle"}, "similarity: str 'angle' is not one of"),
        ({"logit_scale": 0}, "logit_scale: 0 for cosine"),
        ({"logit_scale": 2, "similarity": "dot"}, "logit_scale: 2 for dot"),
        ({"logit_scale": True}, "logit_scale: expected a number"),
        ({"logit_scale": 1e9}, "logit_scale: 1000000000.0 is not within"),
        ({"logit_bias": 1}, "logit_bias: there is no logit_scale"),
        ({"mean": [0, 0, 0]}, "unknown key 'mean'"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(embedrt.FormatError, match=f"image section.*{words}"):
        parse(SECTION | change)


def test_labels_without_logits_are_refused() -> None:
    with pytest.raises(embedrt.FormatError, match="3 names for no logits"):
        parse(SECTION | {"labels": LABELS}, logits=None)


@pytest.mark.parametrize("name", ["height", "width", "resize", "resample", "crop"])
def test_what_must_be_there(name: str) -> None:
    with pytest.raises(embedrt.FormatError, match=f"'{name}' is missing"):
        parse({key: value for key, value in SECTION.items() if key != name})


@pytest.mark.parametrize("section", [b"", b"[]", b"{", b'{"height": NaN}', b'{"height": 1, "height": 1}', b"\xff"])
def test_what_is_not_an_object(section: bytes) -> None:
    with pytest.raises(embedrt.FormatError, match="image section"):
        parse_image_config(section, (12, 16), None)


def test_a_section_without_its_program_and_a_program_without_its_section(tmp_path: pathlib.Path) -> None:
    with pytest.raises(embedrt.FormatError, match="one without the other"):
        embedrt.load(write_image_model(tmp_path / "a.embedrt", section={}))
    with pytest.raises(embedrt.FormatError, match="one without the other"):
        embedrt.load(write_model(tmp_path / "b.embedrt", image=SECTION))


def test_programs_without_the_vector_of_a_whole_item(tmp_path: pathlib.Path) -> None:
    with pytest.raises(embedrt.FormatError, match=r"image_embedding if it takes images.* has patch_embeddings \[20\]"):
        embedrt.load(write_image_model(tmp_path / "a.embedrt", outputs=("patch_embeddings",)))
    with pytest.raises(embedrt.FormatError, match=r"image_embedding \[20\].*sentence_embedding \[7\]"):
        embedrt.load(write_image_model(tmp_path / "b.embedrt", texts=True, text_columns=7))
