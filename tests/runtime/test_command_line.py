"""The command line: what each subcommand prints, writes and returns."""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_model import DIM

import embedrt
from embedrt.cli import _reader_has_left, main

LINES = ["hello world", "the password", "", "café 中文"]


def command(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "embedrt.cli", *map(str, arguments)],
        input=stdin,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
    )


def read_jsonl(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_a_table_of_similarities(model_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "--model", str(model_path), "hello world", "hello", "the  password\n"]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = embedrt.load(model_path)
    vectors = model.encode(["hello world", "hello", "the  password\n"])
    want = model.similarity(vectors, vectors)
    assert len(lines) == 4 and lines[0].split() == ["1", "2", "3"]
    assert [line.split()[-3:] for line in lines[1:]] == [[f"{value:.3f}" for value in row] for row in want]
    assert "the password" in lines[3]


def test_jsonl_from_standard_input(
    model_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, "\r\n".join(LINES).encode())
    assert main(["embed", "--model", str(model_path)]) == 0
    records = read_jsonl(capsys.readouterr().out)
    assert [record["text"] for record in records] == LINES
    vectors = np.array([record["embedding"] for record in records], np.float32)
    np.testing.assert_array_equal(vectors, embedrt.load(model_path).encode(LINES))


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_npy_from_a_file(model_path: pathlib.Path, tmp_path: pathlib.Path, count: int) -> None:
    texts = [f"hello {number}" for number in range(count)]
    source, out = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    source.write_text("".join(f"{text}\n" for text in texts))
    assert main(["embed", "--model", str(model_path), "--file", str(source), "-o", str(out), "--normalize"]) == 0
    vectors = np.load(out)
    assert vectors.dtype == np.float32 and vectors.shape == (count, DIM)
    np.testing.assert_array_equal(vectors, embedrt.load(model_path).encode(texts, normalize_embeddings=True))


def test_options_reach_the_model(model_path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    options = ["--prompt-name", "query", "--max-tokens", "4", "--threads", "1", "--quiet", "--format", "jsonl"]
    assert main(["embed", "--model", str(model_path), *options, "-o", str(out), "hello world"]) == 0
    want = embedrt.load(model_path).encode("hello world", prompt_name="query", max_tokens=4, return_info=True)[0]
    (record,) = read_jsonl(out.read_text())
    np.testing.assert_array_equal(np.array(record["embedding"], np.float32), want)


def test_a_bad_line_is_reported_and_the_others_are_kept(
    model_path: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipe(monkeypatch, b"hello\n\xff\xfe\nworld\n")
    assert main(["embed", "--model", str(model_path)]) == 1
    out, err = capsys.readouterr()
    good, bad, also_good = read_jsonl(out)
    assert (good["text"], also_good["text"]) == ("hello", "world")
    assert "line 2: not UTF-8 at byte 0" in err and "line 2" in str(bad["error"])

    monkeypatch.setattr("embedrt._cli_embed._MAX_LINE", 8)
    pipe(monkeypatch, b"hello\n" + b"x" * 30 + b"\nworld")
    assert main(["embed", "--model", str(model_path), "-o", str(tmp_path / "a.npy")]) == 1
    assert "line 2: longer than 8 bytes" in capsys.readouterr().err
    vectors = np.load(tmp_path / "a.npy")
    assert np.isnan(vectors[1]).all() and np.isfinite(vectors[[0, 2]]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.txt", "x"], "neither in .npy nor in .jsonl"),
        (["--format", "npy", "x"], "needs -o"),
        (["--format", "table", "-o", "a.npy", "x"], "leave out -o"),
        (["--file", "a", "x"], "both given"),
        (["--prompt-name", "nobody", "x"], "prompt_name is 'nobody'"),
        ([str(number) for number in range(33)], "32 rows at most"),
        (["--threads", "0", "x"], "threads is 0"),
    ],
)
def test_errors_are_one_line(
    model_path: pathlib.Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", "--model", str(model_path), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("embedrt: ") and words in err and err.count("\n") == 1


def test_files_that_cannot_be_read(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, wrong = tmp_path / "missing.embedrt", tmp_path / "wrong.embedrt"
    wrong.write_bytes(b"x" * 5000)
    for name in ("inspect", "verify"):
        for path in (missing, wrong):
            assert main([name, str(path)]) == 1
            err = capsys.readouterr().err
            assert err.startswith("embedrt: ") and err.count("\n") == 1


def test_inspect(model_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model_path)]) == 0
    out = capsys.readouterr().out
    model = embedrt.load(model_path)
    for words in (model.fingerprint, "CC0-1.0", "cosine_mean", "WordPiece", "prompt query", "'the '", "pool(", "2 … 3"):
        assert words in out
    assert "words.table" not in out.split("program")[0]
    assert main(["inspect", "--tensors", str(model_path)]) == 0
    assert "matrix_f32" in capsys.readouterr().out.split("\ntensors\n")[1]


def test_inspect_imports_no_converter_and_no_tokenizers(model_path: pathlib.Path) -> None:
    code = (
        "import sys; from embedrt.cli import main; main(['inspect', sys.argv[1]]); "
        "print({name.partition('.')[0] for name in sys.modules} & {'embedrt_convert', 'tokenizers', 'embedrt_bench'})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("set()\n"), done.stderr


def test_verify(model_path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model_path)]) == 0
    assert "every byte" in capsys.readouterr().out
    data = bytearray(model_path.read_bytes())
    data[-2000] ^= 1  # in the bulk, which loading does not hash
    damaged = tmp_path / "damaged.embedrt"
    damaged.write_bytes(data)
    embedrt.load(damaged)
    assert main(["verify", str(damaged)]) == 1
    assert capsys.readouterr().err.startswith("embedrt: ")


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "embedrt embed" in capsys.readouterr().out
    for arguments in (["unknown"], ["embed", "--unknown"], ["inspect"]):
        with pytest.raises(SystemExit) as error:
            main(arguments)
        assert error.value.code == 2


@pytest.mark.parametrize("name", ["embed", "inspect", "verify"])
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main([name, "--help"])
    assert error.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) >= 5


def test_a_missing_extra_is_named(tmp_path: pathlib.Path) -> None:
    """With the extra's packages in the way of ones that miss a dependency."""
    for package in ("embedrt_convert", "embedrt_bench"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("import a_dependency")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    for arguments, extra in ((["convert", "x"], b"convert"), (["bench", "x"], b"bench"), (["embed", "x"], b"convert")):
        done = command(*arguments, PYTHONPATH=path)
        assert done.returncode == 1
        assert b"'a_dependency' is missing): pip install \"embedrt[%s]\"" % extra in done.stderr
        assert done.stderr.startswith(b"embedrt: ") and done.stderr.count(b"\n") == 1


def test_what_is_piped_is_utf8(model_path: pathlib.Path) -> None:
    """Also where the system's own encoding has no such letters."""
    done = command("embed", "--model", model_path, "Größe 中文", "hello", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert "Größe 中文" in done.stdout.decode("utf-8")
    missing = command("embed", "--model", "中文.embedrt", "hello", PYTHONIOENCODING="cp1252")
    assert missing.returncode == 1
    assert "中文.embedrt" in missing.stderr.decode("utf-8")


def test_a_reader_that_stops_early(model_path: pathlib.Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "embedrt.cli", "embed", "--model", str(model_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    try:
        process.stdin.write(b"hello\n" * 5000)
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_reader_that_stops_early_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the error is one of many."""
    stopped, named = OSError(errno.EINVAL, "Invalid argument"), OSError(errno.EINVAL, "Invalid argument", "a?.npy")
    assert not _reader_has_left(stopped)
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        left = [_reader_has_left(error) for error in (stopped, named, ValueError())]
    assert left == [True, False, False]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C reaches one process alone")
def test_interrupted(model_path: pathlib.Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "embedrt.cli", "embed", "--model", str(model_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where the tests themselves run in the background of a shell, they ignore it, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin and process.stdout
    process.stdin.write(b"hello\n" * 1024)
    process.stdin.flush()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"embedrt: interrupted\n"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"embedrt {embedrt.__version__}\n"


def test_long_texts_are_told_about(
    model_path: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["hello", "hello world " * 20, "hello " * 30]
    source, out = tmp_path / "texts.txt", tmp_path / "a.npy"
    source.write_text("\n".join(texts))
    base = ["embed", "--model", model_path, "--file", source, "-o", out, "--quiet"]
    model = embedrt.load(model_path)
    assert main([*map(str, base)]) == 0
    assert "2 texts over the limit lost 42 tokens or more; --on-long window" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(out), model.encode(texts, return_info=True)[0])
    assert main([*map(str, base), "--on-long", "window"]) == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(np.load(out), model.encode(texts, on_long="window"))
    # Those that are refused are bad lines like others.
    for refusal, bad in (("error", [1, 2]), ("late", [])):
        assert main([*map(str, base), "--on-long", refusal]) == (1 if bad else 0)
        err = capsys.readouterr().err
        assert err.count("\n") == len(bad) and (not bad or "'hello world hello world " in err)
        assert [index for index, row in enumerate(np.load(out)) if np.isnan(row).all()] == bad


def test_precisions(
    model_path: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = embedrt.load(model_path).encode(LINES)
    ranges = embedrt.calibration_ranges(vectors)
    np.save(tmp_path / "ranges.npy", ranges)
    base = ["embed", "--model", str(model_path), *LINES]
    for precision in ("int8", "uint8", "binary", "ubinary"):
        stepped = "int8" in precision
        options = ["--precision", precision, *(["--ranges", str(tmp_path / "ranges.npy")] if stepped else [])]
        want = embedrt.quantize_embeddings(vectors, precision, ranges if stepped else None)
        assert main([*base, *options, "-o", str(tmp_path / "a.npy")]) == 0
        found = np.load(tmp_path / "a.npy")
        assert found.dtype == want.dtype
        np.testing.assert_array_equal(found, want)
        assert main([*base, *options, "--format", "jsonl"]) == 0
        records = read_jsonl(capsys.readouterr().out)
        assert [record["embedding"] for record in records] == want.tolist()
    for options, words in (
        (["--precision", "int8"], "int8 needs ranges"),
        (["--precision", "binary"], "a table compares float32 vectors"),
        (["--ranges", str(model_path)], "is not a .npy file"),
    ):
        assert main([*base, *options]) == 1
        assert words in capsys.readouterr().err
    # There is no NaN among bits.
    pipe(monkeypatch, b"hello\n\xff\n")
    assert main(["embed", "--model", str(model_path), "--precision", "binary", "-o", str(tmp_path / "b.npy")]) == 1
    assert "line 2: not UTF-8 at byte 0; skipped; a .npy of int8 has no row that says so" in capsys.readouterr().err
