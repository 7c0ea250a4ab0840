"""Reading config.json strictly: what a lowering needs, and refusing by name what it would get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrt_convert.errors import ConversionError

# hidden_act of transformers -> activation of the op `linear`.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu6": "relu6",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "linear": "none",
}


def positive(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """A whole number above zero that config.json must have, where there is no default. Raises ConversionError."""
    value = config.get(key, default)
    if type(value) is not int or value < 1:
        raise ConversionError(f"config.json must have {key}, a whole number above 0; it has {value!r}")
    return value


def number(config: Mapping[str, Any], key: str, default: float) -> float:
    """A number that config.json may have. Raises ConversionError."""
    value = config.get(key, default)
    if type(value) not in (int, float):
        raise ConversionError(f"config.json must have {key} as a number; it has {value!r}")
    return float(value)


def activation(config: Mapping[str, Any], key: str = "hidden_act", default: str = "gelu") -> str:
    """The activation that config.json names, as the op `linear` calls it. Raises ConversionError."""
    name = config.get(key, default)
    if name not in _ACTIVATIONS:
        raise ConversionError(f"config.json has {key} {name!r}; known: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def refuse_unless(config: Mapping[str, Any], **supported: Any) -> None:
    """Raises ConversionError when config.json has one of these keys with a value that is neither this one nor empty."""
    for key, value in supported.items():
        if config.get(key, value) not in (value, None):
            raise ConversionError(f"config.json has {key} {config[key]!r}; only {value!r} is supported")


def side(config: Mapping[str, Any], key: str) -> int:
    """The one side of a square that config.json must have, as a number or as two that agree. Raises ConversionError."""
    value = config.get(key)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if type(value) is not int or value < 1:
        raise ConversionError(f"config.json must have {key}, the pixels of a square's side; it has {config.get(key)!r}")
    return value


def head_columns(config: Mapping[str, Any], hidden: str = "hidden_size", heads: str = "num_attention_heads") -> int:
    """The columns of one attention head, from those two keys. Raises ConversionError where it is not a whole number."""
    columns, count = positive(config, hidden), positive(config, heads)
    if columns % count:
        raise ConversionError(f"config.json has {hidden} {columns}, which {count} attention heads do not divide")
    return columns // count
