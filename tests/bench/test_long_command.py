"""Long texts are measured one at a time, in lengths that the model takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from embedrt_bench import child, long
from embedrt_bench.errors import BenchError
from embedrt_convert import writer
from embedrt_convert.builder import IDS, Program

MOST = 600


@pytest.fixture
def model(tokenizer_file: Path, tmp_path: Path) -> str:
    program = Program(vocabulary=6, max_tokens=MOST)
    tokens = program.op("lookup", IDS, name="words", table=np.ones((6, 4), np.float32), index="token")
    program.outputs["sentence_embedding"] = program.op("pool", tokens, kind="mean")
    # The limit by default is less than what the program takes.
    text = {
        "max_tokens": 16,
        "prompts": {},
        "default_prompt_name": None,
        "similarity": "cosine",
        "include_prompt": True,
    }
    sections = [writer.json_section(writer.TEXT, text), writer.section(writer.TOKENIZER, tokenizer_file.read_bytes())]
    writer.write(tmp_path / "a.embedrt", [*writer.program_sections(program), *sections])
    return str(tmp_path / "a.embedrt")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_one_process_for_each_text(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDRT_BENCH_DATA", raising=False)
    jobs = []
    start = child.run

    def run(module: str, job: dict[str, object], threads: int) -> object:
        jobs.append(job)
        return start(module, job, threads)

    monkeypatch.setattr(child, "run", run)
    (row,) = long.measure(model, [1])
    assert (row["threads"], row["tokens"]) == (1, 512)
    assert 0 < row["seconds"] < 1
    assert 5e6 < row["query_peak_rss"] <= row["peak_rss"] < 150e6
    # One token a word or full stop of the text, and two special ones.
    (job,) = jobs
    text = str(job["text"])
    assert len(text.split()) + text.count(".") + 2 == 512


def test_the_command_prints_a_table(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def run(module: str, job: dict[str, int], threads: int) -> dict[str, float]:
        asked.append((module, job["tokens"], threads))
        return {"seconds": 0.25, "peak_rss": 90_000_000, "query_peak_rss": 61_500_000}

    monkeypatch.setattr(child, "run", run)
    long.command([model, "--threads", "1,2"])
    assert asked == [("long", 512, 1), ("long", 512, 2)]
    lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[-1]] == ["512 tokens", "2", "250.0", "2,048", "90.0", "28.5"]


def test_a_model_of_short_texts_is_refused(model: str) -> None:
    with pytest.raises(BenchError, match=r"takes 600 tokens at most; the shortest text measured has 601"):
        long.measure(model, [1], [601, 2048])
