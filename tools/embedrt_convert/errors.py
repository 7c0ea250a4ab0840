"""The converter's own errors. Everything that a user can cause is an `EmbedrtError`."""

from __future__ import annotations

from embedrt._errors import EmbedrtError


class ConversionError(EmbedrtError):
    """A source cannot be fetched, read or lowered. The message says what, where and what to do."""
