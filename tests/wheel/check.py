"""What a wheel has in it, and what it needs to run. check.sh calls this where there are numpy and tokenizers alone.

python tests/wheel/check.py WHEEL MODEL
"""

import pathlib
import subprocess
import sys
import sysconfig
import zipfile

TOP = pathlib.Path(__file__).parent.parent.parent
PACKAGES = ["python/embedrt", "tools/embedrt_convert", "tools/embedrt_bench"]
MOST_BYTES = 2_000_000
SITE = sysconfig.get_paths()["platlib"]


def check_contents(wheel: pathlib.Path) -> None:
    """The three packages as they are versioned, the extension, the licence, and what every wheel has."""
    version = wheel.name.split("-")[1]
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=TOP, capture_output=True, text=True, check=True)
    want = {name.partition("/")[2] for name in listed.stdout.split()}
    assert "embedrt/py.typed" in want
    want.add("embedrt/_core" + sysconfig.get_config_var("EXT_SUFFIX"))
    kept = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    want |= {f"embedrt-{version}.dist-info/{name}" for name in kept}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
    assert found == want, f"missing: {sorted(want - found)}; not expected: {sorted(found - want)}"
    size = wheel.stat().st_size
    assert size <= MOST_BYTES, f"{wheel.name} has {size:,} bytes, at most {MOST_BYTES:,} are allowed"
    print(f"{wheel.name}: {size:,} bytes, {len(found)} files")


def installed() -> set[str]:
    """The top-level modules that have been imported and do not come with Python."""
    files = ((name.partition(".")[0], getattr(module, "__file__", None)) for name, module in sys.modules.items())
    return {name for name, file in files if file and file.startswith(SITE)}


def check_imports(model: str) -> None:
    """`import embedrt` imports nothing else, a model numpy and tokenizers."""
    before = installed()  # what an environment imports at every start
    import embedrt

    assert embedrt.__file__.startswith(SITE), f"{embedrt.__file__} is not the installed one"
    assert installed() - before == {"embedrt"}, installed()
    assert embedrt.load(model).encode(["a text", "another"]).shape == (2, 36)
    assert installed() - before == {"embedrt", "numpy", "tokenizers"}, installed()


if __name__ == "__main__":
    check_contents(pathlib.Path(sys.argv[1]))
    check_imports(sys.argv[2])
