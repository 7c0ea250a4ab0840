"""An ONNX graph on disk, and the files that belong to it: beside it, above an `onnx` folder, or named by the user."""

from __future__ import annotations

import mmap
import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.sources.files import Files
from embedrt_convert.sources.weights_file import PREPROCESSOR

# What a tokenizer's folder is asked for: its other files may be another model's.
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt"),
    *("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model"),
)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class OnnxFile(Files):
    """A `.onnx` file: `graph` is its name here and `path` where it is.

    Other files are looked for in its own folder, then, where that is called `onnx`, in the one above. `tokenizer`, a
    folder or a tokenizer.json, and `preprocessor`, a preprocessor_config.json, go before what is found there.
    """

    def __init__(
        self,
        path: pathlib.Path,
        *,
        tokenizer: pathlib.Path | None = None,
        preprocessor: pathlib.Path | None = None,
    ) -> None:
        for each in (path, preprocessor):
            if each is not None and not each.is_file():
                raise ConversionError(f"{each}: no such file")
        if tokenizer is not None and not tokenizer.exists():
            raise ConversionError(f"{tokenizer}: no such folder or tokenizer.json")
        own = path.resolve().parent
        self._folders = [own, own.parent] if own.name == "onnx" else [own]
        # Many exporters call every graph model.onnx. The names and not the paths: the model file must not depend on
        # where it was made.
        is_named = path.stem != "model" and not path.stem.startswith("model_")
        super().__init__(f"file:{path.name}", path.stem if is_named else self._folders[-1].name or path.stem)
        self.graph, self.path = path.name, path
        self._given = {} if preprocessor is None else {PREPROCESSOR: preprocessor}
        if tokenizer is not None:
            folder = tokenizer if tokenizer.is_dir() else tokenizer.parent
            self._given |= {name: folder / name for name in _TOKENIZER}
            self._given |= {} if tokenizer.is_dir() else {"tokenizer.json": tokenizer}

    def names(self) -> frozenset[str]:
        """The files of these folders, and of the folders in them: 1_Pooling and the like."""
        found = set(self._given)
        for folder in self._folders:
            found |= {path.relative_to(folder).as_posix() for pattern in ("*", "*/*") for path in folder.glob(pattern)}
        return frozenset(filter(self.has, found))

    def has(self, name: str) -> bool:
        return self._find(name) is not None

    def _find(self, name: str) -> pathlib.Path | None:
        places = [self._given[name]] if name in self._given else [folder / name for folder in self._folders]
        return next((place for place in places if place.is_file()), None)

    def _open(self, name: str) -> memoryview:
        path = self._find(name)
        assert path is not None
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def graph_of(folder: pathlib.Path, names: frozenset[str]) -> pathlib.Path | None:
    """The graph of a folder with these files: model.onnx, its own or that in `onnx`. None where there are weights.

    Raises ConversionError when there are graphs, and which one is meant must be said.
    """
    graphs = sorted(name for name in names if name.endswith(".onnx"))
    if not graphs or any(name.rpartition("/")[2].startswith(_WEIGHTS) for name in names):
        return None
    for name in ("model.onnx", "onnx/model.onnx"):
        if name in graphs:
            return folder / name
    if len(graphs) > 1:
        raise ConversionError(f"{folder} has the graphs {', '.join(graphs)}: name one of them instead of the folder")
    return folder / graphs[0]
