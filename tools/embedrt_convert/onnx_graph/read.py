"""ONNX files, read as what they are: files of strangers. What comes back holds its weights and is well formed."""

from __future__ import annotations

import math
import pathlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError

from embedrt_convert.errors import ConversionError

_STANDARD = ("", "ai.onnx")
_MAX_GRAPH = (2 << 30) - 1  # bytes: what one protobuf message can hold
_MAX_WEIGHTS = 8 << 30  # bytes, over all tensors: two tensors may name the same bytes of a file
# onnxruntime's optimiser writes these without a domain, in graphs of opsets that do not have them yet.
_RUNTIME_OPERATORS = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")


@dataclass(frozen=True)
class Value:
    """An input or output of a graph: `element_type` is an onnx.TensorProto.DataType, None in `shape` is unnamed."""

    name: str
    element_type: int
    shape: tuple[int | str | None, ...] | None  # None: the rank itself is unknown


@dataclass(frozen=True)
class Signature:
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read(path: pathlib.Path) -> onnx.ModelProto:
    """The model of an ONNX file, external data included. Raises ConversionError."""
    model = _parse(path)
    try:
        _check(path, model)
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path} is not a valid ONNX model: a name is not UTF-8: {error}") from None
    total = 0
    for tensor in _tensors(path, model):
        size = _size(path, tensor)
        total += size
        if total > _MAX_WEIGHTS:
            raise ConversionError(f"{path} holds more than {_MAX_WEIGHTS >> 30} GiB of weights")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _load_external(path, tensor, size)
        else:
            _check_content(path, tensor, size)
    return model


def signature(model: onnx.ModelProto) -> Signature:
    """What goes in, without the weights that old files list as inputs, and what comes out."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_value(info) for info in model.graph.input if info.name not in weights)
    return Signature(inputs, tuple(_value(info) for info in model.graph.output))


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(info.name, tensor.elem_type, None)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim)
    return Value(info.name, tensor.elem_type, shape)


def _parse(path: pathlib.Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ConversionError(f"{path}: no such file")
    size = path.stat().st_size
    if size > _MAX_GRAPH:
        raise ConversionError(f"{path} has {size} bytes, more than an ONNX file can hold: is it the file of weights?")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ConversionError(f"{path} is not an ONNX file: {error}") from None
    if not model.graph.node:
        raise ConversionError(f"{path} is not an ONNX file, or its graph is empty")
    return model


def _check(path: pathlib.Path, model: onnx.ModelProto) -> None:
    """The checker, on all but the weights: it would copy them, and look for files where it should not."""
    newest = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in _STANDARD and not 1 <= entry.version <= newest:
            raise ConversionError(
                f"{path} is of opset {entry.version}, this version of onnx knows up to {newest}: upgrade onnx, "
                "or export the model for an older opset"
            )
    shell = onnx.ModelProto()
    for field in ("ir_version", "producer_name"):
        setattr(shell, field, getattr(model, field))
    shell.opset_import.extend(model.opset_import)
    shell.functions.extend(model.functions)
    graph = shell.graph
    graph.name = model.graph.name
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.node.extend(model.graph.node)
    for info in (*graph.input, *graph.output):
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.shape.SetInParent()  # not everyone writes shapes, and nobody needs them
    for weight in model.graph.initializer:
        graph.initializer.add(name=weight.name, data_type=onnx.TensorProto.FLOAT, dims=[0], raw_data=b"")
    for node in graph.node:
        if node.op_type in _RUNTIME_OPERATORS and node.domain in _STANDARD:
            node.domain = "com.microsoft"
    if not any(entry.domain == "com.microsoft" for entry in shell.opset_import):
        shell.opset_import.add(domain="com.microsoft", version=1)
    try:
        onnx.checker.check_model(shell)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ConversionError(f"{path} is not a valid ONNX model: {str(error).strip()}") from None


def _tensors(path: pathlib.Path, model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor: of the graph, of functions and of the graphs inside nodes."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            if graph.sparse_initializer:
                raise ConversionError(f"{path} has sparse weights: save them as ordinary tensors")
            yield from graph.initializer
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ConversionError(f"{path} has sparse weights: save them as ordinary tensors")
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs.extend(attribute.graphs)
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


# Bits of an element, for the types that can be stored raw.
_BITS = {
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT8", "UINT8", "BOOL"), 8),
    **dict.fromkeys(("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"), 8),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
    "COMPLEX128": 128,
}


def _type_name(tensor: onnx.TensorProto) -> str:
    names: dict[str, int] = dict(onnx.TensorProto.DataType.items())
    return next((name for name, number in names.items() if number == tensor.data_type), f"type {tensor.data_type}")


def _size(path: pathlib.Path, tensor: onnx.TensorProto) -> int:
    """Bytes that the tensor's type and dimensions ask for; 0 for strings, which have none to ask for."""
    kind = _type_name(tensor)
    if any(dim < 0 for dim in tensor.dims):
        raise ConversionError(f"{path}: the tensor {tensor.name} has a negative dimension: {list(tensor.dims)}")
    if kind == "STRING":
        return 0
    if kind not in _BITS:
        raise ConversionError(f"{path}: the tensor {tensor.name} is of {kind}, which is not known")
    return -(-math.prod(map(int, tensor.dims)) * _BITS[kind] // 8)


def _check_content(path: pathlib.Path, tensor: onnx.TensorProto, size: int) -> None:
    """The checker asks only whether there is content: a tensor must hold as much as its dimensions say."""
    kind = _type_name(tensor)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != size:
            raise ConversionError(
                f"{path}: the tensor {tensor.name} {list(tensor.dims)} of {kind} needs {size} bytes, "
                f"it has {len(tensor.raw_data)}"
            )
        return
    fields = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
    held = sum(map(len, fields)) + len(tensor.string_data)
    elements = math.prod(tensor.dims)
    # Complex numbers are pairs, elements of less than a byte share one.
    wanted = {elements} | ({2 * elements} if kind.startswith("COMPLEX") else set())
    if kind in _BITS and _BITS[kind] < 8:
        wanted = {size}
    if held not in wanted:
        raise ConversionError(
            f"{path}: the tensor {tensor.name} {list(tensor.dims)} of {kind} has {held} elements, not {elements}"
        )


def _load_external(path: pathlib.Path, tensor: onnx.TensorProto, size: int) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    where = f"{path}: the external data of {tensor.name}"
    file = _external_file(path, entries.get("location", ""), where)
    offset = _number(entries.get("offset", "0"), where)
    held = file.stat().st_size
    length = _number(entries.get("length", str(size)), where)
    if length != size:
        raise ConversionError(f"{where} are {length} bytes, its dimensions {list(tensor.dims)} ask for {size}")
    if offset + length > held:
        raise ConversionError(f"{where} end at byte {offset + length}, {file.name} has {held}: is it complete?")
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _external_file(path: pathlib.Path, location: str, where: str) -> pathlib.Path:
    """A regular file in the model's folder: a graph must not make us read anything else."""
    relative = pathlib.PurePosixPath(location)
    windows = pathlib.PureWindowsPath(location)
    if (
        not location
        or relative.is_absolute()
        or windows.drive
        or windows.root
        or ".." in (*relative.parts, *windows.parts)
    ):
        raise ConversionError(f"{where} are in {location!r}: only files in the model's own folder are read")
    file = path.parent / relative
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        raise ConversionError(f"{where} are in {location}, which is missing: put it beside the model") from None
    # Caches keep the model and its data as links into one folder: that one is the model's own, too.
    own = (path.parent.resolve(), path.resolve().parent)
    if not stat.S_ISREG(mode) or not any(file.resolve().is_relative_to(folder) for folder in own):
        raise ConversionError(f"{where} are in {location}, which is no regular file in the model's own folder")
    return file


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ConversionError(f"{where} have the offset or length {text!r}: not a number of bytes")
    return int(text)
