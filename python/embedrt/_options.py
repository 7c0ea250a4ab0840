"""The options of `Model.encode` that do not change the type of its result, for type checkers only."""

from __future__ import annotations

from typing import Literal, TypedDict


class EncodeOptions(TypedDict, total=False):
    prompt_name: str | None
    prompt: str | None
    normalize_embeddings: bool | None
    truncate_dim: int | None
    max_tokens: int | None
    show_progress_bar: bool | None
    batch_size: int | None
    convert_to_numpy: bool | None
    on_long: Literal["truncate", "error"]
