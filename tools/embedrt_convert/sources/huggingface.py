"""`hf:org/name`: a repository of the Hugging Face hub, or the local copy that huggingface_hub keeps."""

from __future__ import annotations

import pathlib
import re
from dataclasses import dataclass

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.folder import Folder

_SPEC = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+?))?(?P<file>(?:/[\w.-]+)+\.embedrt)?")
_TIMEOUT = 3.0  # seconds for the first answer: a network without the hub must not hold a user up
_SMALL = ["*.json", "*.txt", "*spiece.model", "README.md"]
_SAFETENSORS = ["model.safetensors", "model-*.safetensors", "*/model.safetensors"]
_PICKLES = ["pytorch_model.bin", "pytorch_model-*.bin", "*/pytorch_model.bin"]
_OTHER_FORMATS = ["onnx/*", "openvino/*", "*.onnx"]


@dataclass(frozen=True)
class Spec:
    """`org/name[@revision][/file.embedrt]`"""

    repository: str
    revision: str | None
    file: str | None


def parse(spec: str) -> Spec:
    """Raises ConversionError when `spec` is not of that form."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ConversionError(
            f"hf:{spec} is not of the form hf:org/name, hf:org/name@revision or hf:org/name/file.embedrt"
        )
    return Spec(match["repository"], match["revision"], match["file"] and match["file"].lstrip("/"))


def fetch(spec: Spec) -> Folder:
    """The repository's folder: settings, tokenizer, and safetensors or else pickles. Raises ConversionError."""
    folder = _snapshot(spec, _SMALL + _SAFETENSORS)
    if not any(folder.rglob("*.safetensors")):
        folder = _snapshot(spec, _SMALL + _PICKLES)
    # The hub's client names the folder after the commit.
    return Folder(folder, label=f"hf:{spec.repository}@{folder.name}", name=spec.repository.rpartition("/")[2])


def fetch_prebuilt(spec: Spec) -> pathlib.Path:
    """The `.embedrt` file that the spec names. Raises ConversionError."""
    assert spec.file is not None
    path = _snapshot(spec, [spec.file]) / spec.file
    if not path.is_file():
        raise ConversionError(f"hf:{spec.repository} has no file {spec.file}")
    return path


def _snapshot(spec: Spec, patterns: list[str]) -> pathlib.Path:
    try:
        import huggingface_hub
    except ImportError:
        raise ConversionError("hf: sources need huggingface_hub: pip install 'embedrt[convert]'") from None
    revision, reason = spec.revision, ""
    try:
        # snapshot_download has no limit for its first connection, which a silent network holds up for minutes.
        revision = huggingface_hub.HfApi().model_info(spec.repository, revision=revision, timeout=_TIMEOUT).sha
    except Exception as error:  # the errors of the client's HTTP library, which differs between its versions
        reason = _first_line(error)
    try:
        return pathlib.Path(
            huggingface_hub.snapshot_download(
                spec.repository,
                revision=revision,
                allow_patterns=patterns,
                ignore_patterns=_OTHER_FORMATS,
                local_files_only=bool(reason),
            )
        )
    except Exception as error:
        raise ConversionError(f"hf:{spec.repository} cannot be fetched: {reason or _first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
