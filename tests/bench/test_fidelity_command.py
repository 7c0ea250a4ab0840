"""Two files of one model are compared on files of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedrt_bench import fidelity
from embedrt_bench.errors import BenchError
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program


def write_model(path: Path, tokenizer: Path, table: np.ndarray) -> str:
    program = Program(vocabulary=len(table), max_tokens=16)
    tokens = program.op("lookup", IDS, name="words", table=table.astype(np.float32))
    program.outputs["sentence_embedding"] = program.op("pool", tokens, kind="mean")
    text = {
        "max_tokens": 16,
        "prompts": {},
        "default_prompt_name": None,
        "similarity": "cosine",
        "include_prompt": True,
    }
    sections = [writer.json_section(writer.TEXT, text), writer.section(writer.TOKENIZER, tokenizer.read_bytes())]
    writer.write(path, [*writer.program_sections(program), *sections])
    return str(path)


@pytest.fixture
def models(tokenizer_file: Path, tmp_path: Path) -> list[str]:
    table = np.random.default_rng(0).normal(size=(6, 8))
    changed = table.copy()
    changed[:, 0] *= 2
    return [write_model(tmp_path / f"{i}.embedrt", tokenizer_file, each) for i, each in enumerate((changed, table))]


def pairs_file(tmp_path: Path, rows: list[str]) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_file_beside_itself_and_another(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = pairs_file(tmp_path, ["a,b,1.5", '"b, a",a b,2', "c,a a b,4.25"])
    (same,) = fidelity.measure(models[1], models[1], [pairs])
    assert same["pairs"] == 3 and same["cosine_worst"] == pytest.approx(1) and same["spearman"] is not None
    assert same["spearman"] == same["reference_spearman"]
    (other,) = fidelity.measure(*models, [pairs])
    assert other["reference_spearman"] == same["spearman"] and other["cosine_worst"] <= other["cosine_mean"] < 0.9999
    fidelity.command([*models, "--pairs", str(pairs), str(pairs), "--prompt", "a "])
    assert capsys.readouterr().out.count("| pairs.csv |") == 2


@pytest.mark.parametrize("rows", [["a,b"], ["a,b,c"], ["a,b,1"], []])
def test_files_without_pairs_are_refused(rows: list[str], tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"pairs\.csv"):
        fidelity.read(pairs_file(tmp_path, rows))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.csv"):
        fidelity.read(tmp_path / "none.csv")
