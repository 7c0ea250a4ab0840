"""Models that peers are given, made once: a folder for each, named by everything that decided it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path


def folder(cache: Path, engine: str, decided_by: Sequence[object], make: Callable[[Path], None]) -> Path:
    """The folder of these models; `make` fills an empty one if there is none yet. `decided_by` is plain data."""
    key = hashlib.sha256(json.dumps(decided_by).encode()).hexdigest()[:16]
    kept = cache / f"{engine}-{key}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache))
        try:
            with _quiet():
                make(made)
            # Renamed when complete, so that an interruption leaves nothing that looks like a model.
            made.rename(kept)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return kept


def versions(*distributions: str) -> dict[str, str]:
    """Raises ModuleNotFoundError for a missing one, for whose name the command says which extra to install."""
    return {name: metadata.version(name) for name in distributions}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without tracers' warnings for every Python branch and quantisers' advice; fidelity is measured anyway.

    Progress bars go to the standard error: the standard output is the report's.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
