"""embedrt: texts and images into vectors on an ordinary CPU, from one small model file.

    model = embedrt.load("model.embedrt")
    vectors = model.encode(["How do I reset my password?", "I forgot my login"])
    vectors = embedrt.load("images.embedrt").encode_image(["a.jpg", "b.png"])

`load` and `Model` do the work; the exceptions are `EmbedrtError` and its children `FormatError` and `InputError`.
"""

from typing import TYPE_CHECKING, Any

from embedrt._errors import EmbedrtError, FormatError, InputError
from embedrt._load import load

if TYPE_CHECKING:
    from embedrt._info import EncodeInfo, ImageInfo, ModelInfo
    from embedrt._model import Model

__all__ = [
    "EmbedrtError",
    "EncodeInfo",
    "FormatError",
    "ImageInfo",
    "InputError",
    "Model",
    "ModelInfo",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    # The rest is imported on first use: what numpy and the extension cost is then paid by `load`, not by `--help`.
    if name == "Model":
        from embedrt._model import Model

        return Model
    if name in ("EncodeInfo", "ImageInfo", "ModelInfo"):
        from embedrt import _info

        return getattr(_info, name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("embedrt")
        except PackageNotFoundError:
            return "unknown (not installed)"
    raise AttributeError(f"module 'embedrt' has no attribute {name!r}")
