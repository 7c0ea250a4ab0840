"""This machine's ceilings, reached with the kernels' own instructions: `embedrt bench --peak`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from embedrt import _core
from embedrt_bench import child, report

# Of each ceiling in each round: several turns of the core's.
_SECONDS = 0.1
# Name in the core → the table's column, and what one of its units is worth there.
_COLUMNS = {
    "int8_dot": ("int8 dot instruction, GMAC/s", 1),
    "int8_gemm": ("int8 matrix product, GMAC/s", 1),
    "fp32_fma": ("fp32 FMA, GFLOP/s", 2),
    "read_cache": ("reading L2, GB/s", 1),
    "read_memory": ("reading memory, GB/s", 1),
}


def measure(threads: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """One row for each thread count: every ceiling, a second, of all threads together; the best of the rounds."""
    best: dict[int, dict[str, float]] = {count: {} for count in threads}
    for number in range(rounds):
        child.say(f"ceilings, round {number + 1} of {rounds}")
        for count, row in best.items():
            found = child.run("peak", {"threads": count}, count)
            row.update({name: max(value, row.get(name, 0.0)) for name, value in found.items()})
    return [{"threads": count, **row} for count, row in best.items()]


def markdown(result: report.Result) -> str:
    """`result` has the fields `machine` and `peaks` of the JSON."""
    lines = [
        [str(row["threads"]), *(f"{scale * row[name] / 1e9:,.1f}" for name, (_, scale) in _COLUMNS.items())]
        for row in result["peaks"]
    ]
    table = report.table(["threads", *(title for title, _ in _COLUMNS.values())], lines)
    return f"{report.machine_text(result['machine'])}{report.busy_text(result['machine'])}\n\n{table}\n"


def main() -> None:
    """The child process of one thread count: reads a job from stdin, writes each ceiling to stdout."""
    threads = json.load(sys.stdin)["threads"]
    names = _core.peak_names()
    # Twice: what is first in a process meets threads that have only just been started.
    turns = [{name: _core.peak(name, threads, _SECONDS) for name in names} for _ in range(2)]
    print(json.dumps({name: max(turn[name] for turn in turns) for name in names}))
