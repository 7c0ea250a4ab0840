"""What a peer needs to know of an image checkpoint, read without the converter: an error there must not be shared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrt_bench.errors import BenchError
from embedrt_bench.sources import WEIGHTS

_FOLDER_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class ImageCheckpoint:
    """A Hugging Face folder, or the weights of a network that timm or torchvision has by name."""

    path: Path
    architecture: str  # the folder's model_type, or the network's name
    digest: str  # SHA-256, hexadecimal, of what decides vectors
    size: tuple[int, int]  # height and width of the network's input

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()


def read(path: Path, architecture: str, size: tuple[int, int]) -> ImageCheckpoint:
    """`architecture` is the network's name; a folder says its own. Raises BenchError for what is no checkpoint."""
    if not path.is_dir():
        if path.suffix not in WEIGHTS or not path.is_file():
            raise BenchError(f"{path} is neither a folder nor a file of weights ({', '.join(WEIGHTS)})")
        return ImageCheckpoint(path, architecture, _digest([path], f"{architecture} {size}"), size)
    names = [name for name in _FOLDER_WEIGHTS if (path / name).is_file()]
    if not names:
        raise BenchError(f"{path} has neither {' nor '.join(_FOLDER_WEIGHTS)}")
    config = json_of(path / "config.json")
    files = [path / "config.json", path / "preprocessor_config.json", path / names[0]]
    return ImageCheckpoint(path, str(config.get("model_type", "")), _digest(files, str(size)), size)


def folder_normalisation(folder: Path) -> dict[str, list[float]]:
    """What its preprocessor does to a byte, for each of R, G, B: `scale` · byte + `offset`."""
    config = json_of(folder / "preprocessor_config.json")
    rescale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    if not config.get("do_normalize", True):
        return {"scale": [rescale] * 3, "offset": [0.0] * 3}
    return normalisation(config["image_mean"], config["image_std"], rescale)


def normalisation(mean: list[float], std: list[float], rescale: float = 1 / 255) -> dict[str, list[float]]:
    """(rescale · byte − mean) / std as one product and one sum."""
    return {
        "scale": [rescale / one for one in std],
        "offset": [-middle / one for middle, one in zip(mean, std, strict=True)],
    }


def json_of(path: Path) -> Any:
    """Raises BenchError when the file is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BenchError(f"{path} is not JSON: {error}") from None


def _digest(files: list[Path], choices: str) -> str:
    digest = hashlib.sha256(choices.encode())
    for path in files:
        if not path.is_file():
            raise BenchError(f"{path.parent} has no {path.name}")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
