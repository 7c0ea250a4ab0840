"""How fast the ARM kernels multiply bytes, by LLVM's models of CPUs: an estimate, nothing is run.

python tests/emulated/estimate.py [--compiler clang++-19] [--least dotprod=0.85,i8mm=0.80]

Compiles cpp/isa/{neon,dotprod,i8mm}.cc to assembly as the build does, finds the inner loop of each tile of the product
of bytes, and lets llvm-mca simulate it: as if all data lay in the first-level cache, every branch were foreseen and the
loop never ended. The peak is what llvm-mca says of the loop's own multiplications with nothing beside them, each with a
sum of its own. With --least it fails where a kernel's largest tile reaches less than this part of the peak on one of
its CPUs. Needs llvm-mca of LLVM 19.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = 300
SUMS = 24

# The instructions that multiply bytes, with the products of one.
PRODUCTS = {
    r"usmmla": 32,
    r"(usdot|sudot|sdot|udot)": 16,
    r"s(mull|mlal|mlsl)2?\s+v\d+\.8h,": 8,
}


@dataclass
class Kernel:
    name: str
    largest: str  # the tile that full blocks of rows take
    cpus: tuple[str, ...]


KERNELS = (
    Kernel("neon", r"SmullTiles::tile<2, 1, false>", ("cortex-a72", "cortex-a76", "neoverse-v1", "apple-m1")),
    Kernel("dotprod", r"SdotTiles::tile<3, 2, false>", ("cortex-a76", "neoverse-n1", "neoverse-v1", "apple-m1")),
    Kernel("i8mm", r"MatrixBlock<12, 1>::multiply", ("neoverse-v1", "neoverse-n2", "neoverse-v2", "apple-m2")),
)


@dataclass
class Loop:
    function: str
    body: list[str]

    def multiplications(self) -> list[tuple[str, int]]:
        return [
            (line, products)
            for line in self.body
            for pattern, products in PRODUCTS.items()
            if re.match(rf"\s+{pattern}", line)
        ]


def run(command: list[str], text: str = "") -> str:
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def assembly(compiler: str, kernel: str) -> str:
    lines = (ROOT / "cpp/isa/targets.inc").read_text()
    flags = re.search(rf'^EMBEDRT_AARCH64\({kernel}, "([^"]*)"', lines, re.MULTILINE)
    if flags is None:
        raise SystemExit(f"cpp/isa/targets.inc has no {kernel}")
    command = [compiler, "-std=c++20", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", *flags[1].split()]
    if "clang" in compiler:
        command.append("--target=aarch64-linux-gnu")
    return run([*command, f"-I{ROOT}/cpp", "-S", "-o", "-", f"{ROOT}/cpp/isa/{kernel}.cc"])


def short(symbol: str) -> str:
    """SdotTiles::tile<3, 2, false> of a mangled name."""
    name = re.sub(r"embedrt::|\(anonymous namespace\)::", "", run(["c++filt", symbol]).strip())
    return re.sub(r"^\w+ (?=\w+[<:])|\(.*", "", name)


def inner_loops(text: str) -> list[Loop]:
    """The loops that have no other loop in them."""
    lines = text.splitlines()
    labels: dict[str, int] = {}
    function, functions, loops = "", [], []
    for at, line in enumerate(lines):
        if label := re.match(r"([\w.$]+):", line):
            labels[label[1]] = at
            if not label[1].startswith("."):
                function = label[1]
        functions.append(function)
        branch = re.match(r"\s+(?:b\.?\w*|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.L\w+)\s*$", line)
        if branch and branch[1] in labels:
            loops.append((labels[branch[1]], at))
    inner = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    instruction = re.compile(r"\s+[a-z]")
    return [Loop(functions[a], [line for line in lines[a + 1 : b + 1] if instruction.match(line)]) for a, b in inner]


def cycles(cpu: str, body: list[str]) -> float:
    """Cycles of one pass of a loop."""
    command = ["llvm-mca-19", "-mtriple=aarch64-linux-gnu", f"-mcpu={cpu}", "-mattr=+dotprod,+i8mm"]
    found = re.search(r"Total Cycles:\s+(\d+)", run([*command, f"-iterations={ITERATIONS}"], "\n".join(body)))
    assert found is not None
    return int(found[1]) / ITERATIONS


def peak(cpu: str, loop: Loop) -> float:
    """Products a cycle of the loop's multiplications, in their order, where nothing waits for anything."""
    lines, products = zip(*loop.multiplications(), strict=True)
    body = []
    for at, line in enumerate(lines):
        target, *operands = re.sub(r"//.*", "", line).split(",")
        factors = [re.sub(r"v\d+", f"v{SUMS + i}", operand) for i, operand in enumerate(operands)]
        body.append(",".join([re.sub(r"v\d+", f"v{at % SUMS}", target), *factors]))
    return sum(products) / cycles(cpu, body)


def tiles(text: str) -> dict[str, Loop]:
    """The inner loop of each tile by its name; where a compiler made several, that with the most multiplications."""
    found: dict[str, Loop] = {}
    for loop in inner_loops(text):
        if loop.multiplications():
            name = short(loop.function)
            best = found.setdefault(name, loop)
            if len(loop.multiplications()) > len(best.multiplications()):
                found[name] = loop
    return {name: loop for name, loop in found.items() if re.search(r"Tile|Block", name)}


def report(kernel: Kernel, compiler: str, least: float) -> list[str]:
    """Prints a table; returns what is below `least`."""
    found = tiles(assembly(compiler, kernel.name))
    if kernel.largest not in found:
        raise SystemExit(f"{kernel.name}.cc has no loop of {kernel.largest}; it has {', '.join(found)}")
    print(f"\n**{kernel.name}**, {run([compiler, '--version']).splitlines()[0]}: products a cycle, of the peak\n")
    print(f"| tile | products | instructions | {' | '.join(kernel.cpus)} |")
    print("| --- |" + " --- |" * (2 + len(kernel.cpus)))
    missed = []
    for name, loop in sorted(found.items(), key=lambda item: -sum(p for _, p in item[1].multiplications())):
        done = sum(products for _, products in loop.multiplications())
        cells = []
        for cpu in kernel.cpus:
            reached, most = done / cycles(cpu, loop.body), peak(cpu, loop)
            cells.append(f"{reached:.1f} of {most:.0f}, {reached / most:.0%}")
            if name == kernel.largest and reached / most < least:
                missed.append(f"{kernel.name} on {cpu}: {reached / most:.3f} of the peak, not {least}")
        title = f"**{name}**" if name == kernel.largest else name
        print(f"| {title} | {done} | {len(loop.body)} | {' | '.join(cells)} |")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument("--least", default="", metavar="KERNEL=PART,...", help="fail below this part of the peak")
    options = parser.parse_args()
    for program in ("llvm-mca-19", "c++filt", options.compiler):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed")
    least = dict(bar.split("=") for bar in options.least.split(",") if bar)
    if unknown := set(least) - {kernel.name for kernel in KERNELS}:
        raise SystemExit(f"--least: there is no kernel {', '.join(unknown)}")
    missed = [line for kernel in KERNELS for line in report(kernel, options.compiler, float(least.get(kernel.name, 0)))]
    if missed:
        sys.exit("\n".join(missed))


if __name__ == "__main__":
    main()
