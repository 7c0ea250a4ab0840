"""Starting child processes: every measurement runs in one of its own, with its threads set from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from embedrt_bench.errors import BenchError

# NumPy's BLAS and the tokenizer's pool size themselves from these when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def environment(threads: int) -> dict[str, str]:
    """This process's environment with `threads` for everything, tokenising included: one thread means one."""
    settings = {name: str(threads) for name in _THREAD_VARIABLES}
    return {**os.environ, **settings, "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}


def run(module: str, job: dict[str, Any], threads: int) -> Any:
    """`main()` of a module of this package in a new process: the job goes in as JSON, the answer comes back as JSON.

    The process's messages go to this one's stderr. Raises BenchError when it fails.
    """
    command = [sys.executable, "-c", f"from embedrt_bench.{module} import main; main()"]
    done = subprocess.run(
        command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, env=environment(threads), check=False
    )
    if done.returncode != 0:
        raise BenchError(f"the {module} process failed with status {done.returncode}; its messages are above")
    # Libraries may print as they please; the answer is the last line.
    return json.loads(done.stdout.splitlines()[-1])


def say(message: str) -> None:
    """Progress, for whoever waits."""
    print(f"  {message}", file=sys.stderr, flush=True)
