"""What a measurement depends on beside the code: the CPU, the system, the versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

# The instruction sets that any of the engines has kernels for.
_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm", "sve")
_DISTRIBUTIONS = (
    "embedrt",
    "numpy",
    "tokenizers",
    "pillow",
    "onnxruntime",
    "openvino",
    "nncf",
    "onnx",
    "torch",
    "transformers",
)


def describe(isa: str) -> dict[str, Any]:
    """`isa` is the instruction set that embedrt chose; `load` is the system's over the minute before measuring."""
    cpuinfo = _cpuinfo()
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return {
        "cpu": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cpus": os.cpu_count(),
        "isa": isa,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _DISTRIBUTIONS if (version := _version(name))},
    }


def _cpuinfo() -> dict[str, str]:
    """The first CPU's fields, on Linux."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
