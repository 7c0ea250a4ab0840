"""Golden inputs and quality of files that are for other outputs than one vector a text."""

import base64
import json
import pathlib

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from embedrt import FormatError, Model, _core
from embedrt._golden import check_golden
from embedrt_convert import ConversionError, golden, quality, writer
from embedrt_convert.builder import IDS, Program
from embedrt_convert.inputs.checkpoint import Text

OUTPUTS = ("sparse_embedding", "logits", "multi_vector_embedding")
VOCABULARY = 60
TEXT = {"max_tokens": 24, "prompts": {}, "default_prompt_name": None, "similarity": "cosine", "include_prompt": True}


def tokenizer() -> str:
    """Characters; the second text of a pair has the type 1."""
    words = {token: index for index, token in enumerate(["[UNK]", "[CLS]", "[SEP]", *map(chr, range(97, 123))])}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit()])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return str(made.to_str())


def program(output: str) -> Program:
    random = np.random.default_rng(2)
    made = Program(VOCABULARY, 30)
    tables = [("token", VOCABULARY), ("position", 30), ("type", 2)]
    parts = [
        made.op("lookup", IDS, name=index, index=index, table=random.normal(size=(rows, 16)).astype(np.float32))
        for index, rows in tables
    ]
    x = made.op("add", made.op("add", *parts[:2]), parts[2])
    columns = {"sparse_embedding": VOCABULARY, "logits": 1, "multi_vector_embedding": 8}[output]
    weight = random.normal(size=(columns, 16)).astype(np.float32)
    if output == "multi_vector_embedding":
        made.outputs = {output: made.op("normalize", made.op("linear", x, name="out", weight=weight))}
    else:
        made.outputs = {
            output: made.op("linear", made.op("pool", x), name="out", weight=weight, activation="relu")
            if output == "sparse_embedding"
            else made.op("linear", made.op("pool", x), name="out", weight=weight)
        }
    return made


def write(path: pathlib.Path, output: str, change=None, revision: int = _core.NUMERICS_REVISION) -> pathlib.Path:
    sections = [
        *writer.program_sections(program(output)),
        writer.json_section(writer.TEXT, TEXT),
        writer.section(writer.TOKENIZER, tokenizer().encode()),
    ]
    writer.write(path, sections)
    inputs = golden.tokenise(Text(tokenizer(), 24), output)
    items = golden.text_items(inputs, golden.run(_core.Model(str(path), mmap=False), inputs, output), output)
    if change:
        change(items)
    sections.append(writer.json_section(writer.GOLDEN, golden.section(items, revision, output)))
    writer.write(path, sections)
    return path


@pytest.mark.parametrize("output", OUTPUTS)
def test_golden_inputs_of_every_output(output: str, tmp_path: pathlib.Path) -> None:
    model = Model(str(write(tmp_path / "a.embedrt", output)))
    items = json.loads(model.section("golden") or b"")["items"]
    assert sum("pair" in item for item in items) == (len(golden.PAIRS) if output == "logits" else 0)
    assert ("columns" in items[3]) == (output == "sparse_embedding")
    found = check_golden(model)
    assert found is not None and (found.items, found.cosine_worst) == (len(items), pytest.approx(1, abs=1e-6))

    def change(items):
        one = np.frombuffer(base64.b64decode(items[-1]["vector"]), "<f4") * np.float32(1.001)
        items[-1]["vector"] = base64.b64encode(one.astype("<f4").tobytes()).decode()

    with pytest.raises(FormatError, match="the vector differs from the one stored"):
        check_golden(Model(str(write(tmp_path / "b.embedrt", output, change))))
    found = check_golden(Model(str(write(tmp_path / "c.embedrt", output, change, revision=77))))
    assert found is not None and not found.same_revision and 0.9999 < found.cosine_worst < 1.0001


@pytest.mark.parametrize(
    ("output", "key", "value", "message"),
    [
        ("sparse_embedding", "columns", "AAAA", "columns: expected the base64 of some uint32"),
        ("sparse_embedding", "columns", base64.b64encode(b"\x3c\0\0\0").decode(), "columns: 60, the vector has 60"),
        ("sparse_embedding", "vector", "AAAA", "vector: expected the base64 of"),
        ("multi_vector_embedding", "vector", "AAAAAA==", "vector: expected the base64 of"),
        ("logits", "vector", None, "vector: expected the base64 of 1 float32"),
        ("logits", "pair", 3, "pair: expected"),
        ("logits", "ids", [1], "token ids are not those stored"),
    ],
)
def test_refusals(output: str, key: str, value: object, message: str, tmp_path: pathlib.Path) -> None:
    def change(items):
        items[-1][key] = value

    with pytest.raises(FormatError, match=message):
        check_golden(Model(str(write(tmp_path / "a.embedrt", output, change))))


def test_pairs_are_tokenised_as_the_library_does() -> None:
    inputs = golden.tokenise(Text(tokenizer(), 24), "logits")
    ids, types = (np.split(each, inputs.offsets[1:-1]) for each in (inputs.ids, inputs.types))
    assert inputs.texts[-1] == golden.PAIRS[-1]
    assert len(ids[-1]) == 24 and types[-1].tolist() == [0] * 13 + [1] * 11
    assert not any(each.any() for each in types[: len(golden.TEXTS)])


def test_quality_of_logits() -> None:
    reference = np.array([[-3.0], [1.0], [5.0], [1.0]])  # a standard deviation of sqrt(8)
    logits = (reference + np.array([[0.0], [0.1], [0.0], [-0.5]])).astype(np.float32)
    measured = quality.measure_logits("int8", ("a", "b", "c", "d"), reference, logits)
    assert measured.apart_worst == pytest.approx(0.5 / np.sqrt(8), abs=1e-6)
    assert measured.apart_mean == pytest.approx(0.15 / np.sqrt(8), abs=1e-6)
    assert (measured.worst_input, measured.warning()) == ("d", None)
    measured.check()
    assert measured.section()["difference_worst"] == 0.18
    with pytest.raises(ConversionError, match=r"logits off by 0\.1768 of their spread"):
        quality.measure_logits("fp32", ("a", "b", "c", "d"), reference, logits).check()
    doubtful = quality.measure_logits("int8", ("a", "b", "c", "d"), reference, (reference * 0.8).astype(np.float32))
    assert "--quant fp32" in str(doubtful.warning())
    with pytest.raises(ConversionError, match="try --quant fp32"):
        quality.measure_logits("int8", ("a", "b", "c", "d"), reference, (reference * 0.4).astype(np.float32)).check()


def test_quality_of_logits_that_are_all_the_same() -> None:
    same = np.full((3, 2), 0.5)
    assert quality.measure_logits("fp32", ("a", "b", "c"), same, same.astype(np.float32)).apart_worst == 0
    with pytest.raises(ConversionError, match="logits off by inf"):
        quality.measure_logits("int8", ("a", "b", "c"), same, (same + 0.1).astype(np.float32)).check()
