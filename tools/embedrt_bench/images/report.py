"""The tables of an image model, in Markdown. `result` is what `embedrt bench --json` writes."""

from __future__ import annotations

from embedrt_bench.report import Result, Row, better, busy_text, machine_text, table


def markdown(result: Result) -> str:
    """Everything that was measured."""
    counts = sorted({row["threads"] for row in result["throughput"]})
    parts = [_conditions(result), *(_throughput(result, threads) for threads in counts)]
    if result["quality"]:
        parts.append(_quality(result))
    return "\n\n".join(parts) + "\n"


def _conditions(result: Result) -> str:
    model = result["model"]
    height, width = model["image_size"]
    return (
        f"{machine_text(result['machine'])} Model {model['name']}, fingerprint {model['fingerprint']}, images of "
        f"{width} x {height}. Pictures: {result['images']}.{busy_text(result['machine'])}"
    )


def _throughput(result: Result, threads: int) -> str:
    names = [contestant["name"] for contestant in result["contestants"]]
    rivals = [contestant["name"] for contestant in result["contestants"] if contestant["rival"]]
    peak = next(row["int8_dot"] for row in result["peaks"] if row["threads"] == threads)
    work = result["model"]["multiply_adds"]
    lines = []
    for workload in result["workloads"]:
        rows = [
            row for row in result["throughput"] if row["threads"] == threads and row["workload"] == workload["name"]
        ]
        best = {name: better(row for row in rows if row["contestant"] == name) for name in names}
        ours, *others = best.values()
        ratios = [_ratio(best[rival], ours) for rival in rivals]
        fraction = [f"{work * ours['images_per_second'] / peak:.1%}"] if work else []
        lines.append([workload["title"], *map(_rate, best.values()), *ratios, _ratio(better(others), ours), *fraction])
    header = [
        f"images/s, {threads} thread{'s' if threads > 1 else ''}",
        *names,
        *(f"beside {rival}" for rival in rivals),
        "beside the fastest",
    ]
    note = "In parentheses the better batch size. A ratio above 1 means that embedrt is faster."
    if work:
        header.append("of int8 peak")
        note += f" The peak: {peak / 1e9:,.0f} G multiply-adds a second, by the instruction alone."
    return f"{table(header, lines)}\n\n{note}"


def _ratio(other: Row, ours: Row) -> str:
    return f"{other['best_seconds'] / ours['best_seconds']:.2f}×"


def _rate(row: Row) -> str:
    batch = f" ({row['batch_size']})" if row["batch_size"] else ""
    return f"{row['images_per_second']:,.1f}{batch}"


def _quality(result: Result) -> str:
    lines = [
        [row["contestant"], f"{row['cosine_mean']:.5f}", f"{row['cosine_worst']:.4f}"] for row in result["quality"]
    ]
    count = result["quality"][0]["images"]
    return table([f"fidelity, {count} pictures", "cosine, mean", "cosine, worst"], lines)
