"""Every instruction set of this CPU, forced in a process of its own: it really runs, and gives the same bits."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys

import pytest

from embedrt import _core

DIGEST = pathlib.Path(__file__).parent / "digest.py"
ELSEWHERE = "avx2" if "neon" in _core.isas() else "neon"  # exists, but not on this architecture
ASK = """
from embedrt import _core
from embedrt._errors import InputError
try:
    _core.isa()
except InputError as error:
    print(error)
"""


def run(*command: str, isa: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EMBEDRT_ISA": isa}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


@functools.cache
def digests(isa: str) -> tuple[str, ...]:
    """The instruction set that ran, then a line for each program."""
    done = run(str(DIGEST), isa=isa)
    assert done.returncode == 0, done.stderr
    return tuple(done.stdout.splitlines())


@pytest.mark.parametrize("isa", _core.isas())
def test_a_forced_instruction_set_runs_and_gives_the_bits_of_scalar(isa: str) -> None:
    ran, *found = digests(isa)
    assert ran == isa
    scalar, *expected = digests("scalar")
    assert scalar == "scalar" and len(expected) > 20
    assert found == expected


def test_the_best_one_is_chosen_when_none_is_forced() -> None:
    assert digests("")[0] == _core.isas()[0]


@pytest.mark.parametrize("name", ["sse9", "AVX2", "scalar ", ELSEWHERE])
def test_an_unknown_instruction_set_is_an_error_that_names_those_there_are(name: str) -> None:
    done = run("-c", ASK, isa=name)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout
    assert all(isa in done.stdout for isa in _core.isas())


def test_an_unknown_instruction_set_does_not_stop_the_import() -> None:
    assert run("-c", "from embedrt import _core; _core.isas()", isa="sse9").returncode == 0
