"""Measures every family's cases and prints the table of docs/families.md: python tests/parity/family_table.py"""

from __future__ import annotations

import inspect
import shutil
from types import ModuleType

import families
import numpy as np
from family_files import OUTPUT, cosines, largest_difference, make, ragged

from embedrt_convert import archs

HEAD = (
    "| family | `model_type` | compared with | fp32: largest difference | int8: cosine, mean / worst | lines |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def module_of(family: str) -> ModuleType:
    return next(module for module in archs.modules() if module.__name__.endswith(f".{family}"))


def lines(family: str) -> int:
    """Those of its lowering."""
    return len(inspect.getsource(module_of(family)).splitlines())


def row_start(family: str) -> str:
    model_types = ", ".join(f"`{model_type}`" for model_type in module_of(family).MODEL_TYPES) or "another family's"
    return f"| {family} | {model_types} |"


def row(family: str) -> str:
    """A line of the table: the worst of the family's cases."""
    differences, close, peers = [], [], {}
    for case in families.cases(family):
        made = make(case)
        texts = case.texts(made.model("fp32").vocabulary)
        expected = np.concatenate(case.reference(made.folder, texts))
        differences.append(largest_difference(expected, made.model("fp32").run(*ragged(texts), OUTPUT)))
        close.append(cosines(expected, made.model("int8").run(*ragged(texts), OUTPUT)))
        peers[case.compared_with] = None
        shutil.rmtree(made.folder)
    worst = min(each.min() for each in close)
    mean = np.concatenate(close).mean()
    measured = f"{max(differences):.1e} | {mean:.4f} / {worst:.4f}"
    return f"{row_start(family)} {', '.join(peers)} | {measured} | {lines(family)} |"


def main() -> None:
    print(HEAD)
    for family in families.names():
        print(row(family))


if __name__ == "__main__":
    main()
