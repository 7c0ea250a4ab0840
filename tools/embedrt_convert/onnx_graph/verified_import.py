"""A checkpoint whose network is a graph: imported, and verified before anything is written."""

from __future__ import annotations

from embedrt._errors import EmbedrtError
from embedrt._tokenizer_schema import rebuild
from embedrt_convert.builder import Program
from embedrt_convert.errors import ConversionError
from embedrt_convert.inputs.checkpoint import Checkpoint, Graph, Pooling, Text
from embedrt_convert.onnx_graph import importer, verify_images, verify_texts
from embedrt_convert.onnx_graph.importer import Imported
from embedrt_convert.onnx_graph.verify_texts import Frame
from embedrt_convert.original import Lowered, Original


def lower_graph(checkpoint: Checkpoint, graph: Graph) -> Lowered:
    """The program of a graph, and the graph itself as what its vectors are measured against.

    Raises ConversionError for a graph that is not understood, and for a program that would compute something else.
    """
    original: Original
    if checkpoint.image is not None:
        imported = importer.import_images(graph.standard, checkpoint.image, output=graph.output)
        if checkpoint.classifier and "logits" not in imported.program.outputs:
            raise ConversionError(
                f"the output {imported.output} of {graph.path} is not known to be a classifier's: --labels says so, or "
                "the name logits"
            )
        original, notes = verify_images.verified(imported, graph, checkpoint.image)
    else:
        assert checkpoint.text is not None
        imported, value = _import_text(checkpoint, graph)
        frame = _frame(checkpoint.text, imported.program)
        original, notes = verify_texts.verified(imported, graph, value, frame)
    return Lowered(imported.program, original, (*imported.notes, *notes))


def _import_text(checkpoint: Checkpoint, graph: Graph) -> tuple[Imported, int]:
    """What was imported, and the program's value that is the graph's output; modules follow it."""
    modules = checkpoint.modules
    has_rows = any(isinstance(module, Pooling) for module in modules)
    imported = importer.import_text(
        graph.standard,
        max_tokens=graph.max_tokens,
        output=graph.output,
        modules=modules if has_rows else (),
        padding=graph.pad,
    )
    outputs = imported.program.outputs
    if has_rows:
        return imported, outputs["token_embeddings"]
    vector = outputs["sentence_embedding"]
    if modules:  # the only one that goes without a pooling is to scale the vector
        outputs["sentence_embedding"] = imported.program.op("normalize", vector)
    return imported, vector


def _frame(text: Text, program: Program) -> Frame:
    """What the tokenizer puts around a text. Raises ConversionError for one with ids that the graph does not have."""
    try:
        parts = rebuild(text.tokenizer.encode("utf-8"), program.vocabulary)
    except EmbedrtError as error:
        raise ConversionError(
            f"the tokenizer is not this graph's, whose token table has {program.vocabulary} rows: {error}"
        ) from None
    return Frame(parts.prefix, parts.suffix, {token["id"] for token in parts.added_tokens})
