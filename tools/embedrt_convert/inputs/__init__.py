"""Input formats: one file each. What a user names becomes a `Checkpoint`."""

from __future__ import annotations

import dataclasses
import pathlib

from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface, onnx_model, state_dict
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.inputs.onnx_model import NO_TAIL, Tail
from embedrt_convert.sources import Files, OnnxFile, open_source
from embedrt_convert.sources.weights_file import WeightsFile

PathLike = str | pathlib.Path


def open_checkpoint(
    source: str,
    *,
    arch: str | None = None,
    image_size: tuple[int, int] | None = None,
    classifier: bool = False,
    head: str | None = None,
    labels: PathLike | None = None,
    task: str | None = None,
    preprocessor: PathLike | None = None,
    tokenizer: PathLike | None = None,
    pooling: str | None = None,
    normalize: bool = False,
    output_name: str | None = None,
    max_tokens: int | None = None,
) -> tuple[Files, Checkpoint]:
    """The files and the checkpoint that `source` names. Raises ConversionError.

    With `arch`, "library:name" or a name that one library alone has, `source` is a file of weights. `preprocessor`, of
    those and of graphs, may name the preprocessor_config.json of its pictures. `image_size` (height, width) asks for
    other pixels than the checkpoint's; `classifier` keeps the layer that makes logits, and `labels` is a file that
    names them, one a line. `task` is the one whose adapter is merged into the weights, of a model that has such; `head`
    "splade" makes a sparse encoder of a masked language model whose files do not say it.

    `max_tokens` is the longest text of a model of texts, where it is not to be what the files say.

    The rest is for graphs (`.onnx`): `tokenizer` is a folder or file with its tokenizer; `pooling`, a name of
    sentence-transformers', and `normalize` are what follows its token vectors; `output_name` is the output to take.
    """
    if labels is not None and not classifier:
        raise ConversionError("labels name the logits of a classifier, which is only kept on request (--classifier)")
    given = None if preprocessor is None else pathlib.Path(preprocessor)
    tail = Tail(pooling, normalize, output_name, max_tokens)
    if task is not None and (arch is not None or source.endswith(".onnx")):
        raise ConversionError(f"{source} has no tasks: only folders of models whose config.json lists some have them")
    if arch is not None:
        _only_for_graphs(source, tokenizer, tail)
        if head is not None:
            raise ConversionError(f"{source} is a file of weights of a model of images: it has no head {head}")
        weights = WeightsFile(pathlib.Path(source), given)
        files: Files = weights
        checkpoint = state_dict.read(weights, arch, classifier=classifier, image_size=image_size)
    else:
        folder = None if tokenizer is None else pathlib.Path(tokenizer)
        files = open_source(source, tokenizer=folder, preprocessor=given)
        if not isinstance(files, OnnxFile):
            _only_for_graphs(source, tokenizer, dataclasses.replace(tail, max_tokens=None))
            if preprocessor is not None:
                raise ConversionError(
                    f"{preprocessor}: a folder has its own preprocessor_config.json; leave this one out"
                )
        checkpoint = read(files, image_size, classifier, tail, task, head)
    if labels is not None and checkpoint.image is not None:
        image = dataclasses.replace(checkpoint.image, labels=_lines(pathlib.Path(labels)))
        checkpoint = dataclasses.replace(checkpoint, image=image)
    return files, checkpoint


def read(
    files: Files,
    image_size: tuple[int, int] | None = None,
    classifier: bool = False,
    tail: Tail = NO_TAIL,
    task: str | None = None,
    head: str | None = None,
) -> Checkpoint:
    """The checkpoint in `files`; `tail`, its limit of tokens apart, is for graphs, `task` for others.

    Raises ConversionError.
    """
    if isinstance(files, OnnxFile):
        if head is not None:
            raise ConversionError(f"{files.label} is a graph, whose output is what it is: leave the head {head} out")
        return onnx_model.read(files, tail, image_size=image_size, classifier=classifier)
    return huggingface.read(files, image_size, classifier, tail.max_tokens, task, head)


def _only_for_graphs(source: str, tokenizer: PathLike | None, tail: Tail) -> None:
    if tokenizer is not None or tail != NO_TAIL:
        raise ConversionError(
            f"{source} is not a graph (.onnx): a tokenizer, a pooling, normalisation and an output are chosen for "
            "graphs alone, other checkpoints say them in their own files; weights by --arch take no texts"
        )


def _lines(path: pathlib.Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from None
