"""Converts checkpoints into `.embedrt` files. Its dependencies are the extra `embedrt[convert]`."""

from embedrt_convert.errors import ConversionError
from embedrt_convert.pipeline import Report, convert
from embedrt_convert.resolve import resolve_model
from embedrt_convert.torch_export import from_torch

__all__ = ["ConversionError", "Report", "convert", "from_torch", "resolve_model"]
