"""The benchmark's own error."""

from __future__ import annotations

from embedrt._errors import EmbedrtError


class BenchError(EmbedrtError):
    """A comparison cannot be made, or would not be fair. The message says why and what to do."""
