"""Warnings that point at the caller's line."""

from __future__ import annotations

import sys
import warnings


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn where the first caller outside this package is."""
    frame, level = sys._getframe(), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "embedrt":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
