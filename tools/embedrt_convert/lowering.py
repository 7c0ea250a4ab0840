"""From a checkpoint to its float program: by its family, or by what its graph says."""

from __future__ import annotations

from embedrt._extras import extra
from embedrt_convert import archs
from embedrt_convert.inputs.checkpoint import Checkpoint
from embedrt_convert.original import Lowered, Reference


def lower(checkpoint: Checkpoint) -> Lowered:
    """Raises ConversionError; for a graph also where its program would compute something else."""
    if checkpoint.graph is None:
        program = archs.lower(checkpoint)
        return Lowered(program, Reference(program), archs.notes(checkpoint))
    with extra("onnx"):
        from embedrt_convert.onnx_graph.verified_import import lower_graph
    return lower_graph(checkpoint, checkpoint.graph)
