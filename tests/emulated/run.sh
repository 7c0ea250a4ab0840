#!/usr/bin/env bash
# The same bits on CPUs that are not here: kernels and a tiny model natively on every instruction set, on an emulated Cortex-A72, Nehalem
# (no AVX, no FMA) and Haswell; then the installed package on the last two.
#
#   tests/emulated/run.sh [BUILD]
#
# BUILD is a folder with a native embedrt_bits; without it one is built. `python` must have the package installed, from a wheel.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
model=$top/tests/data/tiny-bert-v1.embedrt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# numpy's BLAS would take kernels of the CPU that this names; the package must be the installed one, on the CPU's own best path.
unset OPENBLAS_CORETYPE PYTHONPATH EMBEDRT_ISA

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() {
  say "FAILED: $*" >&2
  exit 1
}

build() { # folder, targets, further cmake arguments
  cmake -S "$top" -B "$1" -G Ninja -DEMBEDRT_TESTS=ON -DEMBEDRT_WERROR=ON "${@:3}" >"$work/log"
  # shellcheck disable=SC2086
  ninja -C "$1" $2 >>"$work/log" || { tail -40 "$work/log"; fail "building $1"; }
}

# Each emulator says on the standard error which features it leaves out; that is shown only when it fails.
emulated() { "$@" 2>"$work/stderr" || { cat "$work/stderr" >&2; fail "$*"; }; }
x86() { emulated qemu-x86_64-static -cpu "$@"; }
arm() { emulated qemu-aarch64-static -cpu "$@"; }

expect() { # what, file of expected lines, file of found lines
  diff "$2" "$3" || fail "$1 gives other bits"
  say "$1: the same bits"
}
expect_isas() { # CPU, expected, found
  [ "$2" = "$3" ] || fail "$1 runs \"$3\", expected \"$2\""
}

native=${1:-$work/native}
[ $# -gt 0 ] || build "$native" embedrt_bits
build "$work/aarch64" all -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_EXE_LINKER_FLAGS=-static
say "built"

"$native/embedrt_bits" scalar "$model" >"$work/scalar"
for isa in $("$native/embedrt_bits"); do
  "$native/embedrt_bits" "$isa" "$model" >"$work/found"
  expect "native $isa" "$work/scalar" "$work/found"
done

expect_isas Nehalem "scalar" "$(x86 Nehalem "$native/embedrt_bits" | xargs)"
x86 Nehalem "$native/embedrt_bits" scalar "$model" >"$work/found"
expect "Nehalem scalar" "$work/scalar" "$work/found"

expect_isas Haswell "avx2 scalar" "$(x86 Haswell "$native/embedrt_bits" | xargs)"
x86 Haswell "$native/embedrt_bits" avx2 "$model" >"$work/found"
expect "Haswell avx2" "$work/scalar" "$work/found"

expect_isas Cortex-A72 "neon scalar" "$(arm cortex-a72 "$work/aarch64/embedrt_bits" | xargs)"
for isa in neon scalar; do
  arm cortex-a72 "$work/aarch64/embedrt_bits" "$isa" "$model" >"$work/found"
  expect "Cortex-A72 $isa" "$work/scalar" "$work/found"
done
arm cortex-a72 "$work/aarch64/embedrt_tests" | tail -1
say "Cortex-A72: the C++ tests"

cd "$work"
python=$(command -v python)
wheel=$top/tests/emulated/wheel_bits.py
"$python" "$wheel" "$model" | tail -1 >"$work/vectors"
for cpu in Nehalem:scalar Haswell:avx2; do
  x86 "${cpu%:*}" "$python" "$wheel" "$model" >"$work/found"
  expect_isas "the package on ${cpu%:*}" "${cpu#*:}" "$(head -1 "$work/found")"
  tail -1 "$work/found" >"$work/found_vectors"
  expect "the package on ${cpu%:*}" "$work/vectors" "$work/found_vectors"
done
