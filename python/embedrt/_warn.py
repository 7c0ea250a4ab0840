"""Warnings that point at the caller's line."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from embedrt._errors import TruncationWarning

if TYPE_CHECKING:
    from embedrt._info import EncodeInfo


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn where the first caller outside this package is."""
    frame, level = sys._getframe(), 1
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "embedrt":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_truncated(info: EncodeInfo, advice: str) -> None:
    """Say how many inputs of a call were cut, if any, and what to do about it."""
    if cut := info.truncated_texts:
        warn(
            f"{len(cut)} of {info.texts} texts over the limit, texts[{cut[0]}] for one, lost {info.truncated_tokens} "
            f"tokens or more: what they gave stands for their beginnings only. {advice}",
            TruncationWarning,
        )
