"""A fresh process of embedrt alone, from nothing to its first vector, and how long each stage of that takes."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

Clocked = Callable[..., Any]


def main() -> None:
    """Reads a job from stdin, writes milliseconds by stage, in order, to stdout; see fresh.py."""
    begun = time.monotonic()
    job = json.load(sys.stdin)
    print(json.dumps({"Python": 1e3 * (begun - job["started"]), **stages(job["model"], job["threads"], job["query"])}))


def stages(model: str, threads: int, query: str) -> dict[str, float]:
    """Milliseconds of the stages after Python's own start, in a process that has imported nothing yet.

    Leaves embedrt's modules with clocks in them.
    """
    spent: dict[str, float] = {}

    def clocked(stage: str, function: Clocked) -> Clocked:
        def run(*arguments: Any, **options: Any) -> Any:
            start = time.monotonic()
            result = function(*arguments, **options)
            spent[stage] = 1e3 * (time.monotonic() - start)
            return result

        return run

    def import_all(*names: str) -> None:
        for name in names:
            importlib.import_module(name)

    clocked("import NumPy and tokenizers", import_all)("numpy", "tokenizers")
    clocked("import embedrt", import_all)("embedrt._model")
    import embedrt
    from embedrt import _core, _tokenize
    from embedrt._tokenizer_schema import TokenizerParts

    # What `load` calls, with a clock around it.
    inside = {
        "map the file, check its sections and program": (_core, "Model"),
        "read and check the tokenizer": (_tokenize, "rebuild"),
        "build the tokenizer (the library)": (TokenizerParts, "build"),
    }
    for stage, (owner, name) in inside.items():
        setattr(owner, name, clocked(stage, getattr(owner, name)))
    loaded = clocked("the rest of load", embedrt.load)(model, threads=threads)
    spent["the rest of load"] -= sum(spent[stage] for stage in inside)
    clocked("encode", loaded.encode)(query)
    return spent
