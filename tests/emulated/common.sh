# What the scripts of this folder share; they source it. $work is a folder that goes with the shell.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
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
  ninja -j "${JOBS:-2}" -C "$1" $2 >>"$work/log" || { tail -40 "$work/log"; fail "building $1"; }
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

# Kernels, a program of images and a model: their hashes are those that $native gave for `scalar`.
same_hashes() { # what, quick or full, instruction set, command that runs embedrt_bits
  "${@:4}" "$3" "$2" "$model" >"$work/found"
  expect "$1, $3" "$work/$2" "$work/found"
}

# Whole models, through the C library's runner: the vectors are those that the installed package gave here.
same_vectors() { # what, command that runs embedrt-run
  local expected name input output count=0
  for expected in "$work"/tiny/*.f32; do
    name=${expected%.*.f32}
    output=${expected%.f32}
    input=(--ids "$name.ids")
    [ -e "$name.ids" ] || input=(--images "$name.u8")
    "${@:2}" "$name.embedrt" "${input[@]}" --output "${output##*.}" --threads 2 -o "$work/vectors"
    cmp "$expected" "$work/vectors" || fail "$1 gives other vectors"
    count=$((count + 1))
  done
  [ "$count" -gt 20 ] || fail "only $count outputs of tiny models"
  say "$1: the same vectors, $count outputs of tiny models"
}
