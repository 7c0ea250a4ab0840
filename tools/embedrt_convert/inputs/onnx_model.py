"""Reads an ONNX graph and what lies beside it: tokenizer, modules after it, limits, how pictures are prepared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedrt._extras import extra
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs import huggingface, image_model, sentence_transformers, timm_folder
from embedrt_convert.inputs.checkpoint import Checkpoint, Graph, Image, Module, Normalize, Pooling, Text
from embedrt_convert.inputs.image_processor import read_image
from embedrt_convert.inputs.tokenizer import TOKENIZER_FILES, read_tokenizer
from embedrt_convert.sources import OnnxFile
from embedrt_convert.sources.weights_file import PREPROCESSOR

# Outputs by the names that exporters give them, the first that a graph has is taken.
_VECTORS = ("sentence_embedding", "sentence_embeddings", "text_embeds")
_TOKENS = ("token_embeddings", "last_hidden_state")
_IMAGES = (
    *("image_embedding", "image_embeds", "pooler_output", "embedding", "features"),
    *("last_hidden_state", "patch_embeddings", "logits"),
)
_IDS = 2**31 - 1


@dataclass(frozen=True)
class Tail:
    """What the user says about the end of a graph; None and False where its files are to say it.

    `pooling` is a name of sentence-transformers'; `output_name` one of the graph's outputs; `max_tokens` of a text.
    """

    pooling: str | None = None
    normalize: bool = False
    output_name: str | None = None
    max_tokens: int | None = None


NO_TAIL = Tail()


def read(
    files: OnnxFile, tail: Tail = NO_TAIL, *, image_size: tuple[int, int] | None = None, classifier: bool = False
) -> Checkpoint:
    """The checkpoint of a graph. Raises ConversionError, and EmbedrtError where the extra `onnx` is missing."""
    if tail.pooling is not None and tail.pooling not in sentence_transformers.POOLINGS:
        raise ConversionError(
            f"the pooling {tail.pooling!r} is not known; known: {', '.join(sentence_transformers.POOLINGS)}"
        )
    with extra("onnx"):
        from embedrt_convert.onnx_graph import facts
        from embedrt_convert.onnx_graph.graph import Graph as View
        from embedrt_convert.onnx_graph.read import read as read_graph
        from embedrt_convert.onnx_graph.roles import PIXELS, roles
        from embedrt_convert.onnx_graph.standard import standard
    model = read_graph(files.path)
    for name in (files.graph, *facts.external(files.path)):
        files.read(name)  # for the digest
    lossy, about = facts.is_lossy(model), facts.about(model)
    made = standard(model)
    inputs = roles(View(made.model))
    config = files.json("config.json") if files.has("config.json") else {}
    common = {
        "config": {"model_type": "onnx"},
        "tensors": {},
        "licence": huggingface.read_licence(files),
        "classifier": classifier,
    }
    graph = Graph(files.path, made.model, inputs, lossy, about)
    if PIXELS in inputs.values():
        return _images(files, common, graph, made.notes, config, tail, image_size)
    if image_size is not None or classifier:
        raise ConversionError(f"{files.label} is not a model of images: it has no image size and no classifier")
    return _texts(files, common, graph, made.notes, config, tail)


def _texts(
    files: OnnxFile,
    common: Mapping[str, Any],
    graph: Graph,
    notes: tuple[str, ...],
    config: Mapping[str, Any],
    tail: Tail,
) -> Checkpoint:
    layout = sentence_transformers.read_layout(files) if files.has("modules.json") else None
    output, modules, note = _end(files, graph, None if layout is None else layout.modules, tail)
    prefix = layout.encoder if layout and not files.has("tokenizer.json") else ""
    if prefix and not config and files.has(prefix + "config.json"):
        config = files.json(prefix + "config.json")
    settings_name = prefix + "tokenizer_config.json"
    settings = files.json(settings_name) if files.has(settings_name) else {}
    stated, lowercase = sentence_transformers.read_limits(files, prefix)
    limit = tail.max_tokens or huggingface.token_limit(stated, settings, config)
    if limit < 1:
        raise ConversionError(
            f"nothing beside {files.label} says how long a text may be (tokenizer_config.json, config.json): "
            "--max-tokens says it, at most the rows of the graph's position table"
        )
    vocabulary = config.get("vocab_size")
    vocabulary = vocabulary if isinstance(vocabulary, int) else None
    if not any(files.has(prefix + name) for name in TOKENIZER_FILES):
        raise ConversionError(
            f"{files.label} takes texts, and there is no {prefix}tokenizer.json beside it: --tokenizer names the "
            "folder that has one"
        )
    tokenizer = read_tokenizer(files, prefix, settings, vocabulary or _IDS, lowercase)
    return Checkpoint(
        **common,
        text=Text(
            tokenizer=tokenizer,
            max_tokens=limit,
            similarity=sentence_transformers.read_similarity(files),
            **sentence_transformers.read_prompts(files),
        ),
        modules=modules,
        notes=(*notes, *_choice(graph, output), *note),
        graph=_finished(graph, output, tail, max_tokens=limit, pad=_pad(config, settings, tokenizer)),
    )


def _images(
    files: OnnxFile,
    common: Mapping[str, Any],
    graph: Graph,
    notes: tuple[str, ...],
    config: Mapping[str, Any],
    tail: Tail,
    image_size: tuple[int, int] | None,
) -> Checkpoint:
    if tail.pooling or tail.normalize or tail.max_tokens:
        raise ConversionError(
            f"{files.label} takes images: pooling, normalisation and a limit of tokens are for texts; the graph itself "
            "must have one vector for each image"
        )
    output = _output(files, graph, tail, _IMAGES)
    if files.has(PREPROCESSOR) or not timm_folder.is_timm(config):
        if not files.has(PREPROCESSOR) and not files.has("processor_config.json"):
            raise ConversionError(
                f"{files.label} takes images, and there is no {PREPROCESSOR} beside it: --preprocessor names a file "
                "that says how a picture becomes pixels (size, image_mean, image_std)"
            )
        image, image_notes = read_image(files, str(config.get("model_type", "onnx")), image_size)
    else:
        image, image_notes = timm_folder.read_preset(config).image(image_size), ()
    _check_size(files, graph, image)
    if common["classifier"] and "id2label" in config:
        image = dataclasses.replace(image, labels=image_model.read_labels(config))
    return Checkpoint(
        **common,
        text=None,
        modules=(),
        notes=(*notes, *_choice(graph, output), *image_notes),
        image=image,
        graph=_finished(graph, output, tail),
    )


def _choice(graph: Graph, output: str) -> tuple[str, ...]:
    """A remark where there was one."""
    others = [value.name for value in graph.standard.graph.output if value.name != output]
    return (f"the graph's output {output} is taken; it also has {', '.join(others)}",) if others else ()


def _finished(graph: Graph, output: str, tail: Tail, **fields: Any) -> Graph:
    about = {**graph.about, "output": output, "pooling": tail.pooling, "normalize": tail.normalize}
    return dataclasses.replace(graph, output=output, about=about, **fields)


def _end(
    files: OnnxFile, graph: Graph, stated: Sequence[Module] | None, tail: Tail
) -> tuple[str, tuple[Module, ...], tuple[str, ...]]:
    """(the output to take, the modules after it, remarks): one vector for each text, or else pooled token vectors."""
    prefer = (*_TOKENS, *_VECTORS) if tail.pooling else (*_VECTORS, *_TOKENS)
    output = _output(files, graph, tail, prefer)
    unit: tuple[Module, ...] = (Normalize(),) if tail.normalize else ()
    if not _has_rows(graph, output):
        if tail.pooling:
            raise ConversionError(
                f"the output {output} of {files.label} is one vector for each text already: leave --pooling out"
            )
        note = (f"{output} is one vector for each text: modules.json is not applied to it",) if stated else ()
        return output, unit, note
    if tail.pooling:
        note = ("--pooling is given: modules.json is not applied",) if stated else ()
        return output, (Pooling(sentence_transformers.POOLINGS[tail.pooling]), *unit), note
    if stated is None:
        raise ConversionError(
            f"the output {output} of {files.label} has a vector for each token, and no modules.json says what makes "
            f"one of them: --pooling says it ({', '.join(sentence_transformers.POOLINGS)}), and --normalize scales it"
        )
    if unit and Normalize() in stated:
        unit = ()
    return output, (*stated, *unit), ()


def _output(files: OnnxFile, graph: Graph, tail: Tail, prefer: Sequence[str]) -> str:
    names = [value.name for value in graph.standard.graph.output]
    if tail.output_name is not None:
        if tail.output_name not in names:
            raise ConversionError(f"{files.label} has no output {tail.output_name}; its outputs are {', '.join(names)}")
        return tail.output_name
    known = [name for name in prefer if name in names]
    if not known and len(names) > 1:
        raise ConversionError(f"{files.label} has the outputs {', '.join(names)}: --output-name says which to take")
    return known[0] if known else names[0]


def _has_rows(graph: Graph, output: str) -> bool:
    """Whether an output is a vector for each token: [texts, tokens, columns]."""
    value = next(value for value in graph.standard.graph.output if value.name == output)
    kind = value.type.tensor_type
    return len(kind.shape.dim) == 3 if kind.HasField("shape") else output in _TOKENS


def _check_size(files: OnnxFile, graph: Graph, image: Image) -> None:
    """That a graph of a fixed size gets pictures of that size."""
    for value in graph.standard.graph.input:
        sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim][2:4]
        wanted = [image.height, image.width]
        if len(sides) == 2 and any(side not in (0, want) for side, want in zip(sides, wanted, strict=True)):
            raise ConversionError(
                f"{files.label} takes pictures of {sides[0]} x {sides[1]} pixels, and {PREPROCESSOR} makes "
                f"{image.height} x {image.width}"
            )


def _pad(config: Mapping[str, Any], settings: Mapping[str, Any], tokenizer: str) -> int | None:
    """The id that fills up a batch, where the files say it."""
    stated = config.get("pad_token_id")
    if isinstance(stated, int):
        return stated
    token = settings.get("pad_token")
    content = token.get("content") if isinstance(token, dict) else token
    return next((each["id"] for each in json.loads(tokenizer)["added_tokens"] if each["content"] == content), None)
