"""What the extension says about calls that it does not take, and what it takes beside ids and offsets."""

import numpy as np
import pytest

from embedrt import InputError, _core
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

IDS_OF_TWO = np.array([1, 2, 3, 0, 4], np.int32)
OFFSETS = np.array([0, 3, 5])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> _core.Model:
    random = np.random.default_rng(3)
    made = Program(vocabulary=6, max_tokens=8)
    tables = [
        made.op("lookup", IDS, name=index, index=index, table=random.normal(size=(rows, 16)).astype(np.float32))
        for index, rows in (("token", 6), ("position", 8), ("type", 2))
    ]
    x = made.op("add", made.op("add", *tables[:2]), tables[2])
    pooled = made.op("pool", x, kind="mean")
    made.outputs = {"token_embeddings": x, "sentence_embedding": made.op("normalize", pooled), "logits": pooled}
    path = tmp_path_factory.mktemp("calls") / "model.embedrt"
    writer.write(path, [*writer.program_sections(made)])
    return _core.Model(path.read_bytes(), threads=2)


def test_what_the_program_says(model: _core.Model) -> None:
    assert model.types_count == 2
    assert [model.unit_length(name) for name in model.outputs()] == [False, True, False]


def test_lists_and_other_widths_are_taken(model: _core.Model) -> None:
    types, spans = [0, 1, 1, 0, 1], [[0, 2], [1, 3], [4, 5]]
    tokens, vectors = model.run_outputs(
        IDS_OF_TWO, OFFSETS, ["token_embeddings", "sentence_embedding"], types=types, spans=spans
    )
    assert tokens.shape == (5, 16)
    assert vectors.shape == (3, 16)
    again = model.run(
        IDS_OF_TWO.astype(np.int64),
        OFFSETS.astype(np.int32),
        "sentence_embedding",
        types=np.array(types, np.uint8),
        spans=np.array(spans, np.int32),
    )
    assert again.tobytes() == vectors.tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"types": [0, 0, 0, 0]}, "4 token types for 5 ids"),
        ({"types": [0, 0, 0, 0, 2]}, "text 1: token type 2 is outside the table of 2"),
        ({"types": [[0, 0, 0, 0, 0]]}, "must have one dimension"),
        ({"spans": [0, 1]}, r"spans must be \[m, 2\]"),
        ({"spans": [[0, 1, 2]]}, r"spans must be \[m, 2\]"),
        ({"spans": [[2, 4]]}, r"span 0 \[2, 4\) runs past the end of text 0"),
        ({"spans": [[3, 5], [0, 1]]}, r"span 1 \[0, 1\) is of a text before"),
        ({"spans": [[1, 1]]}, r"span 0 \[1, 1\) is empty"),
        ({"pooling": "median"}, "pooling is median, the kinds are mean|first"),
        ({"pooling": ""}, "pooling is , the kinds are"),
    ],
)
def test_refusals(model: _core.Model, call: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.run(IDS_OF_TWO, OFFSETS, "logits", **call)


def test_refusals_of_outputs(model: _core.Model) -> None:
    with pytest.raises(InputError, match="there is no output to run for"):
        model.run_outputs(IDS_OF_TWO, OFFSETS, [])
    with pytest.raises(InputError, match="the model has no output colours; it has token_embeddings"):
        model.run_outputs(IDS_OF_TWO, OFFSETS, ["logits", "colours"])
    with pytest.raises(InputError, match="offsets must begin with 0"):
        model.run_outputs(IDS_OF_TWO, np.zeros(0, np.int64), ["logits"])
