"""`from_torch`: an `nn.Module` through PyTorch's exporter, then as any other graph. PyTorch is imported here alone."""

from __future__ import annotations

import contextlib
import inspect
import json
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrt._extras import extra
from embedrt_convert.errors import ConversionError
from embedrt_convert.pipeline import Progress, Report, convert
from embedrt_convert.sources.weights_file import PREPROCESSOR

if TYPE_CHECKING:
    import torch

_BAR = 1e-3  # of the greatest number: how far an exported graph may be from its module
_OPSETS = {"dynamo": 18, "torchscript": 17}


def from_torch(
    module: torch.nn.Module,
    example_inputs: Any,
    output: str | pathlib.Path | None = None,
    *,
    tokenizer: Any = None,
    preprocessor: Any = None,
    name: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Convert a module into one `.embedrt` file, by way of `torch.onnx.export`.

    `example_inputs` is a tensor, a tuple of them in the order of `forward`, or a dict by its parameters' names: token
    ids (integers [texts, tokens]), with an attention mask where there is one, or pixels (floats [images, 3, height,
    width]). The names of `forward`'s parameters say what each is: input_ids, attention_mask, pixel_values and so on.

    `tokenizer` is a folder or file, a `tokenizers.Tokenizer` or a tokenizer of transformers; `preprocessor` is a
    preprocessor_config.json or what one holds, an image processor of transformers, or timm's data config. The file is
    `output`, and `options` are those of `convert` for graphs: `pooling`, `normalize`, `output_name`, `max_tokens`,
    `quant`, `labels` and so on. Modules that give several values have the outputs of their dict's keys, or output_0,
    output_1 and so on. Raises ConversionError.
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConversionError("from_torch needs PyTorch: pip install torch") from None
    name = name or type(module).__name__
    with tempfile.TemporaryDirectory(prefix="embedrt-", ignore_cleanup_errors=True) as folder:
        path = pathlib.Path(folder) / f"{name}.onnx"
        for note in _export(module, example_inputs, path):
            (progress or (lambda message: None))(f"note: {note}")
        return convert(
            path,
            output or f"{name}.embedrt",
            tokenizer=_tokenizer(tokenizer, path.parent / "tokenizer"),
            preprocessor=_preprocessor(preprocessor, path.parent),
            name=name,
            progress=progress,
            **options,
        )


@dataclass(frozen=True)
class _Example:
    """Inputs by the names of `forward`'s parameters, and what the module makes of them, by names too."""

    inputs: Mapping[str, torch.Tensor]
    outputs: Mapping[str, torch.Tensor]

    def axes(self) -> dict[str, dict[int, str]]:
        """Those that may differ: the batch's, and the tokens' of what has two axes."""
        return {
            name: {0: "batch", 1: "sequence"} if value.dim() == 2 else {0: "batch"}
            for name, value in self.inputs.items()
        }

    def output_axes(self) -> dict[str, dict[int, str]]:
        """As `axes`, of the outputs: three axes are a vector for each token."""
        is_text = any(value.dim() == 2 for value in self.inputs.values())
        return {
            name: {0: "batch", 1: "sequence"} if is_text and value.dim() == 3 else {0: "batch"}
            for name, value in self.outputs.items()
        }


def _export(module: torch.nn.Module, example_inputs: Any, path: pathlib.Path) -> tuple[str, ...]:
    """Write the graph, and return remarks. The newer exporter goes first; its graph must run as the module does."""
    import torch

    with _in_evaluation(module), torch.no_grad():
        inputs = _named(module, example_inputs)
        example, other = (_Example(each, _outputs(module(**each))) for each in (inputs, _varied(inputs)))
        reasons = []
        for exporter, export in (("dynamo", _dynamo), ("torchscript", _torchscript)):
            try:
                with warnings.catch_warnings(), contextlib.redirect_stdout(None):
                    warnings.simplefilter("ignore")
                    export(_wrapper(module, example), example, path)
                _check((example, other), path)
            except Exception as error:  # exporters raise whatever they met  # noqa: PERF203
                reasons.append(f"{exporter}: {_first_line(error)}")
            else:
                return tuple(f"exported the older way, as the newer one failed ({reason})" for reason in reasons)
    raise ConversionError(f"{type(module).__name__} cannot be exported to ONNX: {'; '.join(reasons)}")


@contextlib.contextmanager
def _in_evaluation(module: torch.nn.Module) -> Iterator[None]:
    before = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, training in before.items():
            each.training = training


def _named(module: torch.nn.Module, example_inputs: Any) -> dict[str, torch.Tensor]:
    """Tensors by `forward`'s parameters. A batch of one becomes one of two: exporters take 1 for a constant."""
    import torch

    if isinstance(example_inputs, Mapping):
        named = dict(example_inputs)
    else:
        given = example_inputs if isinstance(example_inputs, Sequence) else (example_inputs,)
        names = list(inspect.signature(module.forward).parameters)
        named = dict(zip(names, given, strict=False))
        if len(named) != len(given):
            raise ConversionError(f"{len(given)} example inputs for the {len(names)} parameters of forward")
    for name, value in named.items():
        if not isinstance(value, torch.Tensor) or value.dim() < 2:
            raise ConversionError(f"the example input {name} must be a tensor with the batch as its first axis")
    return {
        name: value.repeat(2, *[1] * (value.dim() - 1)) if len(value) == 1 else value for name, value in named.items()
    }


def _varied(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Inputs of another length or content: a graph must not have the example's in it."""
    import torch

    def other(value: torch.Tensor) -> torch.Tensor:
        if value.dim() == 2 and value.shape[1] > 1:
            return value[:, :-1].flip(1)
        if value.dim() == 4 and value.is_floating_point():
            return torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)
        return value

    return {name: other(value) for name, value in inputs.items()}


def _outputs(made: Any) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(made, torch.Tensor):
        return {"output": made}
    if isinstance(made, Mapping):
        found = {key: value for key, value in made.items() if isinstance(value, torch.Tensor)}
    elif isinstance(made, Sequence):
        found = {f"output_{i}": value for i, value in enumerate(made) if isinstance(value, torch.Tensor)}
    else:
        found = {}
    if not found:
        raise ConversionError(
            f"the module gives a {type(made).__name__}; it must give tensors, or a dict or tuple of them"
        )
    return found


def _wrapper(module: torch.nn.Module, example: _Example) -> torch.nn.Module:
    """The module with its inputs by position and its outputs as a plain tuple: what every exporter takes."""
    import torch

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            made = _outputs(self.module(**dict(zip(example.inputs, values, strict=True))))
            return tuple(made[name] for name in example.outputs)

    return Wrapper().eval()


def _dynamo(module: torch.nn.Module, example: _Example, path: pathlib.Path) -> None:
    import torch

    dynamic = tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in example.axes().values())
    torch.onnx.export(
        module,
        tuple(example.inputs.values()),
        str(path),
        dynamo=True,
        dynamic_shapes={"values": dynamic},
        input_names=list(example.inputs),
        output_names=list(example.outputs),
        opset_version=_OPSETS["dynamo"],
        verbose=False,
    )


def _torchscript(module: torch.nn.Module, example: _Example, path: pathlib.Path) -> None:
    import torch

    torch.onnx.export(
        module,
        tuple(example.inputs.values()),
        str(path),
        dynamo=False,
        dynamic_axes={**example.axes(), **example.output_axes()},
        input_names=list(example.inputs),
        output_names=list(example.outputs),
        opset_version=_OPSETS["torchscript"],
    )


def _check(examples: Sequence[_Example], path: pathlib.Path) -> None:
    """The exported graph beside the module."""
    with extra("onnx"):
        import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = {each.name for each in session.get_inputs()}
    for example in examples:
        feed = {name: value.numpy() for name, value in example.inputs.items() if name in taken}
        for (name, expected), got in zip(example.outputs.items(), session.run(None, feed), strict=True):
            wanted = expected.numpy()
            if got.shape != wanted.shape or not np.abs(got - wanted).max() <= _BAR * np.abs(wanted).max():
                raise ConversionError(f"the exported graph gives another {name} than the module")


def _tokenizer(given: Any, folder: pathlib.Path) -> str | pathlib.Path | None:
    """A tokenizer as a path, written where it is an object."""
    if given is None or isinstance(given, str | pathlib.Path):
        return given
    folder.mkdir()
    write: Callable[[str], Any] | None = getattr(given, "save_pretrained", None)
    if write is not None:
        write(str(folder))
    elif hasattr(given, "save"):
        given.save(str(folder / "tokenizer.json"))
    else:
        raise ConversionError(
            f"tokenizer is a {type(given).__name__}: a path or a tokenizer that can be saved is needed"
        )
    return folder


def _preprocessor(given: Any, folder: pathlib.Path) -> str | pathlib.Path | None:
    """A preprocessor_config.json as a path; a data config of timm's becomes the config.json beside the graph."""
    if given is None or isinstance(given, str | pathlib.Path):
        return given
    settings = given.to_dict() if hasattr(given, "to_dict") else given
    if not isinstance(settings, Mapping):
        raise ConversionError(
            f"preprocessor is a {type(given).__name__}: a path, a dict or an image processor is needed"
        )
    if "crop_pct" in settings and "input_size" in settings:
        (folder / "config.json").write_text(json.dumps({"architecture": "", "pretrained_cfg": dict(settings)}))
        return None
    path = folder / PREPROCESSOR
    path.write_text(json.dumps(dict(settings), default=int), encoding="utf-8")
    return path


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
