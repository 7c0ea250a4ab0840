"""The tables, in Markdown: for the terminal and for docs/benchmarks.md alike.

`result` is what `embedrt bench --json` writes; its fields are described in docs/benchmarks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SCHEMA = 2
_QUIET_LOAD = 0.5
Result = dict[str, Any]
Row = dict[str, Any]


def markdown(result: Result) -> str:
    """Everything that was measured."""
    counts = sorted({row["threads"] for row in result["throughput"]})
    parts = [_conditions(result), *(_throughput(result, threads) for threads in counts)]
    if sentence := _query(result):
        parts.append(sentence)
    if result["starts"]:
        parts.append(_starts(result))
    if result["stages"]:
        parts.append(_stages(result))
    if result["quality"]:
        parts.append(_quality(result))
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column left and the others right aligned, padded to be read as it is."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]

    def render(cells: Sequence[str]) -> str:
        right = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return f"| {' | '.join([cells[0].ljust(widths[0]), *right])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(render(cells) for cells in [lines[0], rule, *lines[1:]])


def better(rows: Iterable[Row]) -> Row:
    """The row of the better batch size, and of the better thread count where there are several: the fastest."""
    return min(rows, key=lambda row: float(row["best_seconds"]))


def machine_text(machine: Row) -> str:
    """A sentence of what was measured on."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']} ({' '.join(machine['flags'])}), {machine['cpus']} CPUs; embedrt runs {machine['isa']}; "
        f"{machine['system']}, Python {machine['python']}; {versions}."
    )


def busy_text(machine: Row) -> str:
    """A warning where the machine had something else to do, with a space before it."""
    if machine["load"] <= _QUIET_LOAD:
        return ""
    return f" Other processes were running (load {machine['load']:.1f}): these times are not to be trusted."


def _conditions(result: Result) -> str:
    model = result["model"]
    return (
        f"{machine_text(result['machine'])} Model {model['name']}, fingerprint {model['fingerprint']}. "
        f"Texts: {result['texts']}.{busy_text(result['machine'])}"
    )


def _rivals(result: Result) -> list[str]:
    """Each peer's first variant: what embedrt is compared with."""
    return [contestant["name"] for contestant in result["contestants"] if contestant["rival"]]


def _throughput(result: Result, threads: int) -> str:
    names = [contestant["name"] for contestant in result["contestants"]]
    rivals = _rivals(result)
    peak = next(row["int8_dot"] for row in result["peaks"] if row["threads"] == threads)
    int8 = all(workload["multiply_adds"] is not None for workload in result["workloads"])
    lines = []
    for workload in result["workloads"]:
        name = workload["name"]
        rows = [row for row in result["throughput"] if row["threads"] == threads and row["workload"] == name]
        best = {name: better(row for row in rows if row["contestant"] == name) for name in names}
        single = workload["texts"] == 1
        cells = [_milliseconds(row) if single else _rate(row) for row in best.values()]
        ratios = [f"{best[rival]['best_seconds'] / best[names[0]]['best_seconds']:.2f}×" for rival in rivals]
        fraction = [f"{workload['multiply_adds'] / best[names[0]]['best_seconds'] / peak:.1%}"] if int8 else []
        lines.append([workload["title"] + (", ms" if single else ""), *cells, *ratios, *fraction])
    header = [f"tokens/s, {threads} thread{'s' if threads > 1 else ''}", *names, *(f"beside {r}" for r in rivals)]
    note = "In parentheses the better batch size. A ratio above 1 means that embedrt is faster."
    if int8:
        header.append("of int8 peak")
        note += f" The peak: {peak / 1e9:,.0f} G multiply-adds a second, by the instruction alone."
    return f"{table(header, lines)}\n\n{note}"


def _milliseconds(row: Row) -> str:
    return f"{1e3 * row['best_seconds']:.2f}"


def _rate(row: Row) -> str:
    batch = f" ({row['batch_size']})" if row["batch_size"] else ""
    return f"{row['tokens_per_second']:,.0f}{batch}"


def _query(result: Result) -> str:
    """One query with each engine at its better thread count; empty when there is one thread count only."""
    single = {workload["name"] for workload in result["workloads"] if workload["texts"] == 1}
    rows = [row for row in result["throughput"] if row["workload"] in single]
    if len({row["threads"] for row in rows}) < 2:
        return ""
    best = [better(r for r in rows if r["contestant"] == c["name"]) for c in result["contestants"]]
    times = "; ".join(f"{row['contestant']} {_milliseconds(row)} ms (threads: {row['threads']})" for row in best)
    ours, peer = best[0], better(best[1:])
    ratio = f"{peer['best_seconds'] / ours['best_seconds']:.2f}×"
    return (
        f"One query, each at its better thread count: {times}. "
        f"{ours['contestant']} beside the fastest peer, {peer['contestant']}: {ratio}."
    )


def _starts(result: Result) -> str:
    """The last row is the floor."""
    growth = {row["contestant"]: row for row in result["growth"]}
    floor = result["starts"][-1]
    lines = []
    for row in result["starts"]:
        grown = growth.get(row["contestant"])
        above = row["best_milliseconds"] - floor["best_milliseconds"]
        lines.append(
            [
                row["contestant"],
                f"{row['best_milliseconds']:.0f}",
                "" if row is floor else f"{above:.0f}",
                _megabytes(row["peak_rss_bytes"]),
                "" if row is floor else _megabytes(row["file_bytes"]),
                _megabytes(grown["after"] - grown["before"]) if grown else "",
                _megabytes(grown["peak_rss"]) if grown else "",
                f"{1e3 * grown['idle_cpu_seconds']:.1f}" if grown else "",
            ]
        )
    texts = next((f"{row['texts']:,}" for row in result["growth"]), "")
    header = [
        f"fresh process, threads: {floor['threads']}",
        "to first vector, ms",
        "above the floor, ms",
        "peak RSS, MB",
        "model file, MB",
        f"growth over {texts} texts, MB" if texts else "growth, MB",
        "peak RSS then, MB",
        "CPU in 2 s idle, ms",
    ]
    return "\n\n".join([table(header, lines), *(_fractions(result, rival) for rival in _rivals(result))])


def _stages(result: Result) -> str:
    lines = [[stage, f"{milliseconds:.1f}"] for stage, milliseconds in result["stages"].items()]
    return table([f"stages of {result['contestants'][0]['name']}'s start", "ms"], lines)


def _fractions(result: Result, rival: str) -> str:
    rows = {row["contestant"]: row for row in result["starts"]}
    ours = result["contestants"][0]["name"]
    time = rows[ours]["best_milliseconds"] / rows[rival]["best_milliseconds"]
    memory = rows[ours]["peak_rss_bytes"] / rows[rival]["peak_rss_bytes"]
    return f"{ours} needs {time:.2f} of {rival}'s time to the first vector and {memory:.2f} of its peak memory."


def _megabytes(size: int) -> str:
    """Millions of bytes."""
    return f"{size / 1e6:.1f}"


def _quality(result: Result) -> str:
    lines = [
        [
            row["contestant"],
            f"{row['cosine_mean']:.5f}" if "cosine_mean" in row else "",
            f"{row['cosine_worst']:.4f}" if "cosine_worst" in row else "",
            f"{row['spearman']:.4f}" if "spearman" in row else "",
        ]
        for row in result["quality"]
    ]
    count = result["quality"][0]["sentences"]
    return table([f"fidelity, {count:,} sentences", "cosine, mean", "cosine, worst", "Spearman's ρ"], lines)
