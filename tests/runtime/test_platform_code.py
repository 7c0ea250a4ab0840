"""Code for one system or one compiler alone has its folder."""

from __future__ import annotations

import pathlib
import re

import pytest

TOP = pathlib.Path(__file__).parents[2]
# Windows, Microsoft's compiler and Apple, by their macros and their headers.
ONLY_THERE = re.compile(
    r"\b(_MSC_VER|_M_(?:X64|AMD64|ARM64|IX86)|_?WIN(?:32|64)|__MINGW\w+|__APPLE__|__MACH__|TARGET_OS_\w+|__declspec"
    r"|windows\.h|intrin\.h|sys/sysctl\.h)\b"
)
# A header for other programs stands alone; it marks what a DLL exports.
PUBLIC_HEADERS = {"cpp/c_api/embedrt.h": {"_WIN32", "__declspec"}}


def found(text: str) -> set[str]:
    return set(ONLY_THERE.findall(text))


def test_system_code_is_in_base() -> None:
    elsewhere = {}
    for path in sorted((TOP / "cpp").rglob("*")):
        name = path.relative_to(TOP).as_posix()
        if path.suffix in {".c", ".cc", ".h", ".inc"} and not name.startswith("cpp/base/"):
            elsewhere[name] = found(path.read_text(encoding="utf-8")) - PUBLIC_HEADERS.get(name, set())
    assert len(elsewhere) > 50
    assert {name: what for name, what in elsewhere.items() if what} == {}


@pytest.mark.parametrize("line", ["#ifdef _WIN32", "#if defined(_M_X64)", "#include <windows.h>", "#if __APPLE__"])
def test_it_would_be_found(line: str) -> None:
    assert found(line)


def test_it_is_found_where_it_is() -> None:
    assert {"_WIN32", "__APPLE__"} <= found((TOP / "cpp/base/cpu.cc").read_text(encoding="utf-8"))
