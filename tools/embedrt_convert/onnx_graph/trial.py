"""Runs of a graph by onnxruntime: what its values are that do not depend on the data."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedrt._extras import extra
from embedrt_convert.errors import ConversionError
from embedrt_convert.onnx_graph.graph import Graph
from embedrt_convert.onnx_graph.roles import IDS, MASK, PIXELS, POSITIONS

with extra("onnx"):
    import onnx
    import onnxruntime


_MAX_MEMORY = 4 << 30  # bytes, of all that a trial computes


class DoesNotRunError(ConversionError):
    """onnxruntime does not run the graph on what it was given."""


class Probe:
    """The graph with other outputs: any of its values."""

    def __init__(self, graph: Graph, names: Iterable[str]) -> None:
        self._graph = graph
        self._names = tuple(names)
        self._session: onnxruntime.InferenceSession | None = None
        if self._names:
            try:
                self._session = session(_part(graph, self._names).SerializeToString())
            except Exception as error:  # onnxruntime has no common class of its own
                raise ConversionError(f"onnxruntime does not take a part of the graph: {error}") from None
            self._options = onnxruntime.RunOptions()
            self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
            self._wanted = {each.name for each in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The values by name. Raises DoesNotRunError."""
        if self._session is None:
            return {}
        chosen = {name: value for name, value in feeds.items() if name in self._wanted}
        try:
            values = self._session.run(list(self._names), chosen, self._options)
        except Exception as error:  # onnxruntime has no common class of its own
            raise DoesNotRunError(f"the graph does not run on {describe(feeds)}: {error}") from None
        return dict(zip(self._names, values, strict=True))


def session(model: bytes | str) -> onnxruntime.InferenceSession:
    """A session that computes every node as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    _limit_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@functools.cache
def _limit_memory() -> None:
    """A graph can ask for values of any size: sessions that use the environment's allocator get no more than that."""
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(
        info, onnxruntime.OrtArenaCfg({"max_mem": _MAX_MEMORY, "arena_extend_strategy": 1})
    )


def describe(feeds: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {list(value.shape)}" for name, value in feeds.items())


def text_feeds(graph: Graph, roles: Mapping[str, str], ids: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for one text alone: every token is attended to, of type 0, at its own position."""
    values = {IDS: ids, MASK: np.ones_like(ids), POSITIONS: np.arange(len(ids))}
    return {
        each.name: values.get(roles[each.name], np.zeros_like(ids)).astype(each.dtype)[None] for each in graph.inputs
    }


def image_feeds(graph: Graph, roles: Mapping[str, str], height: int, width: int) -> dict[str, NDArray[Any]]:
    """The graph's inputs for one black picture."""
    assert set(roles.values()) == {PIXELS}
    return {each.name: np.zeros((1, 3, height, width), each.dtype) for each in graph.inputs}


def _part(graph: Graph, names: tuple[str, ...]) -> onnx.ModelProto:
    """The model with only what `names` need, and them as its outputs."""
    needed = graph.ancestors(names)
    source = graph.model
    nodes = [node for node in source.graph.node if any(name in needed for name in node.output)]
    made = onnx.helper.make_graph(
        nodes,
        "part",
        [each for each in source.graph.input if each.name in needed],
        [onnx.ValueInfoProto(name=name) for name in names],
        [each for each in source.graph.initializer if each.name in needed],
    )
    return onnx.helper.make_model(made, opset_imports=list(source.opset_import), ir_version=source.ir_version)
