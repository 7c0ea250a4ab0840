"""Every family's files under every instruction set, in a process of its own each: the same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from family_files import ALL, make

from embedrt import _core

DIGEST = Path(__file__).parent / "family_digest.py"


@pytest.fixture(scope="module")
def digests():
    """Instruction set -> what it printed about all files, the first line being which one ran."""
    made = [make(case) for case in ALL.values()]
    files = [str(path) for each in made for path in each.files.values()]
    found = {}
    for isa in _core.isas():
        command = [sys.executable, str(DIGEST), *files]
        done = subprocess.run(command, env={**os.environ, "EMBEDRT_ISA": isa}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[isa] = done.stdout.splitlines()
    for each in made:
        shutil.rmtree(each.folder)
    return found


@pytest.mark.parametrize("isa", _core.isas())
def test_an_instruction_set_gives_the_bits_of_scalar(digests, isa):
    (ran, *found), (scalar, *expected) = digests[isa], digests["scalar"]
    assert (ran, scalar) == (isa, "scalar")
    assert len(set(expected)) == 2 * len(ALL)  # fp32 and int8, none like another
    assert found == expected
