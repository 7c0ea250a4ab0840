"""embedrt: texts and images into vectors on an ordinary CPU, from one small model file.

    model = embedrt.load("model.embedrt")
    vectors = model.encode(["How do I reset my password?", "I forgot my login"])
    vectors = embedrt.load("images.embedrt").encode_image(["a.jpg", "b.png"])

`load` and `Model` do the work; the exceptions are `EmbedrtError` and its children `FormatError` and `InputError`, and
`TruncationWarning` says that texts were cut. `quantize_embeddings` and `calibration_ranges` make vectors smaller.
"""

from typing import TYPE_CHECKING, Any

from embedrt._errors import EmbedrtError, FormatError, InputError, TruncationWarning
from embedrt._load import load

if TYPE_CHECKING:
    from embedrt._chunkers import FixedTokens
    from embedrt._info import EncodeInfo, ImageInfo, ModelInfo
    from embedrt._model import Model
    from embedrt._model_retrieval import Encoded
    from embedrt._multi_vector import maxsim
    from embedrt._precision import calibration_ranges, quantize_embeddings
    from embedrt._results import Segments, TokenEmbeddings
    from embedrt._sparse import SparseRows

__all__ = [
    "EmbedrtError",
    "EncodeInfo",
    "Encoded",
    "FixedTokens",
    "FormatError",
    "ImageInfo",
    "InputError",
    "Model",
    "ModelInfo",
    "Segments",
    "SparseRows",
    "TokenEmbeddings",
    "TruncationWarning",
    "__version__",
    "calibration_ranges",
    "load",
    "maxsim",
    "quantize_embeddings",
]

_LATER = {
    "EncodeInfo": "_info",
    "Encoded": "_model_retrieval",
    "FixedTokens": "_chunkers",
    "ImageInfo": "_info",
    "Model": "_model",
    "ModelInfo": "_info",
    "Segments": "_results",
    "SparseRows": "_sparse",
    "TokenEmbeddings": "_results",
    "calibration_ranges": "_precision",
    "maxsim": "_multi_vector",
    "quantize_embeddings": "_precision",
}


def __getattr__(name: str) -> Any:
    # The rest is imported on first use: what numpy and the extension cost is then paid by `load`, not by `--help`.
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"embedrt.{_LATER[name]}"), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("embedrt")
        except PackageNotFoundError:
            return "unknown (not installed)"
    raise AttributeError(f"module 'embedrt' has no attribute {name!r}")
