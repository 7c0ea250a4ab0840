"""Checkpoints of every family of texts, made on the spot: one file for each module of embedrt_convert.archs."""

from __future__ import annotations

import importlib
import pkgutil

from families.case import Case


def names() -> list[str]:
    """The families that have cases, by the names of their modules. A new file in this folder is found by itself."""
    found = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return [module.__name__.rpartition(".")[2] for module in found if hasattr(module, "CASES")]


def cases(family: str) -> tuple[Case, ...]:
    made: tuple[Case, ...] = importlib.import_module(f"{__name__}.{family}").CASES
    return made
