"""Names the extra to install when a package of one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from embedrt._errors import EmbedrtError


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Around what needs the extra `embedrt[name]`: a missing module becomes an error that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise EmbedrtError(
            f'this needs the extra "{name}" (the module {error.name!r} is missing): pip install "embedrt[{name}]"'
        ) from None
