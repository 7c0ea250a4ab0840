"""Threads, forks, Ctrl-C, and what importing costs."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import embedrt

TEXTS = ["hello world", "the password", "a", "café 中文", ""] * 40


def run_python(code: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_one_model_in_many_threads(model_path: pathlib.Path, threads: int) -> None:
    model = embedrt.load(model_path, threads=threads)
    want = {text: model.encode(text).tobytes() for text in TEXTS}
    failures: list[str] = []

    def work(number: int) -> None:
        batch = TEXTS[number:] + TEXTS[:number]
        for _ in range(10):
            for text, vector in zip(batch, model.encode(batch), strict=True):
                if vector.tobytes() != want[text]:
                    failures.append(text)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("threads", [1, 2])
def test_fork(model_path: pathlib.Path, threads: int) -> None:
    """In a process of its own: a fork under pytest would take pytest along."""
    code = """
import os, sys, embedrt
model = embedrt.load(sys.argv[1], threads=int(sys.argv[2]))
texts = ["hello world the password"] * 2000
before = model.encode(texts).tobytes()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if model.encode(texts).tobytes() == before else 7)
    children.append(child)
assert model.encode(texts).tobytes() == before
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""
    done = run_python(code, model_path, threads)
    assert done.stdout == "[0, 0, 0]\n", done.stderr
    # Old versions of the tokenizers library say here that the child tokenises on one thread from now on.
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C reaches one process alone")
def test_an_interrupt_ends_encode_and_the_model_goes_on(model_path: pathlib.Path) -> None:
    code = """
import sys, time, embedrt
model = embedrt.load(sys.argv[1], threads=2)
texts = ["hello world the password"] * 20_000
print("ready", flush=True)
try:
    while True:
        model.encode(texts)
except KeyboardInterrupt:
    vector = model.encode("hello")
    time.sleep(0.01)  # less than a chunk takes; a thread that has done its work may still be ending
    print(vector.shape, len(sys._current_frames()))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background processes ignore it, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "(20,) 1\n", err


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_threads_are_those_that_were_asked_for(model_path: pathlib.Path, threads: int) -> None:
    code = """
import os, sys, time, embedrt
from embedrt import _core
from embedrt._tokenize import TextTokenizer

count = lambda: len(os.listdir("/proc/self/task"))
_core.default_threads = lambda: 64  # where all CPUs are asked for, the tokenizers library uses its own as well
model = embedrt.load(sys.argv[1], threads=int(sys.argv[2]))
before, most = count(), 0  # NumPy's BLAS may have its own
tokenise = TextTokenizer.encode

def watched(self, *arguments, **options):
    global most
    batch = tokenise(self, *arguments, **options)
    most = max(most, count())
    return batch

TextTokenizer.encode = watched
model.encode(["hello world the password"] * 20_000)
time.sleep(0.1)  # a thread that has ended stands in /proc for a moment more
print(most - before, count() - before)
"""
    during, after = map(int, run_python(code, model_path, threads).stdout.split())
    assert after == threads - 1  # the core keeps its own, asleep
    # One more tokenises ahead where there are several; none where one is to do everything.
    assert during == (0 if threads == 1 else threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_idle_process_costs_nothing(model_path: pathlib.Path, threads: int) -> None:
    code = """
import sys, time, embedrt
model = embedrt.load(sys.argv[1], threads=int(sys.argv[2]))
model.encode(["hello world the password"] * 2_000)
before = time.process_time()
time.sleep(1)
print(time.process_time() - before)
"""
    # Seconds of CPU, of all threads; one that spins would take a whole one. A busy machine charges some for others.
    assert float(run_python(code, model_path, threads).stdout) < 0.2


def test_encoding_while_the_interpreter_ends(model_path: pathlib.Path) -> None:
    """Newer versions of Python start no threads by then."""
    code = """
import atexit, sys, embedrt
model = embedrt.load(sys.argv[1], threads=2)
atexit.register(lambda: print(model.encode(["hello world the password"] * 2_000).shape))
"""
    done = run_python(code, model_path)
    assert done.stdout == "(2000, 20)\n", done.stderr


def test_importing_the_runtime_brings_in_no_converter(model_path: pathlib.Path) -> None:
    code = """
import sys, embedrt
assert "numpy" not in sys.modules and "tokenizers" not in sys.modules
embedrt.load(sys.argv[1]).encode("hello")
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots & {"torch", "onnx", "onnxruntime", "transformers", "safetensors", "huggingface_hub", "tqdm",
                      "embedrt_convert", "embedrt_bench"}))
"""
    done = run_python(code, model_path)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_does_not_grow_with_the_batch(model_path: pathlib.Path, threads: int) -> None:
    resource = pytest.importorskip("resource")
    assert resource
    code = """
import resource, sys, embedrt
model = embedrt.load(sys.argv[1], threads=int(sys.argv[2]))
text = "hello world the password unable " * 4
model.encode([text] * 4_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.encode([text] * 40_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = run_python(code, model_path, threads)
    # 3 MB of vectors, 1 MB of references to one text; the encodings of all texts at once would be a hundred.
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 10e6, done.stdout + done.stderr


def test_a_forced_instruction_set_is_the_one_in_use(model_path: pathlib.Path) -> None:
    from embedrt import _core

    code = """
import sys, embedrt
model = embedrt.load(sys.argv[1])
print(model.info.isa, model.encode(["hello", "a"]).tobytes().hex())
"""
    results = []
    for isa in _core.isas():
        name, vectors = run_python(code, model_path, EMBEDRT_ISA=isa).stdout.split()
        assert name == isa
        results.append(vectors)
    assert len(set(results)) == 1
    done = run_python(code, model_path, EMBEDRT_ISA="quantum")
    assert done.returncode and "InputError" in done.stderr and "quantum" in done.stderr


def test_two_models_do_not_mix(model_path: pathlib.Path) -> None:
    one, other = embedrt.load(model_path, threads=1), embedrt.load(model_path, threads=2)
    np.testing.assert_array_equal(one.encode(TEXTS), other.encode(TEXTS))
    one.close()
    assert other.encode("a").shape == (20,)
