"""The user's cache of converted models.

A model's file name holds a key over the content of its source, the options, the converter and the numerics revision:
a file is never stale and never overwritten. The index says which file a pinned source became, without reading it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
from collections.abc import Iterator

import filelock
import platformdirs

from embedrt import _core
from embedrt_convert.version import CONVERTER


def root() -> pathlib.Path:
    """EMBEDRT_CACHE, or embedrt in the system's place for a user's caches."""
    chosen = os.environ.get("EMBEDRT_CACHE")
    return pathlib.Path(chosen) if chosen else platformdirs.user_cache_path("embedrt", appauthor=False)


def key(*parts: str) -> str:
    """Hexadecimal digits that stand for `parts` under this converter, file format and numerics revision."""
    versions = [CONVERTER, str(_core.FORMAT_VERSION), str(_core.NUMERICS_REVISION)]
    return hashlib.sha256(json.dumps([*versions, *parts]).encode("utf-8")).hexdigest()[:32]


def model_path(name: str, model_key: str) -> pathlib.Path:
    """Where the model with this key is, or will be."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:80]
    return root() / "models" / f"{readable}-{model_key}.embedrt"


def find(index_key: str) -> pathlib.Path | None:
    """The model that a source was converted to before, if it is still there."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        path = root() / "models" / _index_path(index_key).read_text("utf-8")
        if path.is_file():
            return path
    return None


def remember(index_key: str, path: pathlib.Path) -> None:
    """Let `find` return this model of the cache from now on."""
    index = _index_path(index_key)
    index.parent.mkdir(parents=True, exist_ok=True)
    temporary = index.with_name(f"{index.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(path.name, "utf-8")
    temporary.replace(index)


@contextlib.contextmanager
def lock(lock_key: str) -> Iterator[None]:
    """Held by one process, or one thread, at a time."""
    folder = root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{lock_key}.lock", thread_local=False):
        yield


def _index_path(index_key: str) -> pathlib.Path:
    return root() / "index" / index_key
