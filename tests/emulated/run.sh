#!/usr/bin/env bash
# The same bits on CPUs that are not here: kernels and tiny models natively on every instruction set, on emulated x86 and ARM CPUs, and by
# another compiler.
#
#   tests/emulated/run.sh [BUILD]
#
# BUILD is a folder with a native embedrt_bits and embedrt-run; without it they are built. `python` must have the package and its extra
# `convert` installed, from a wheel.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=$top/tests/data/tiny-bert-v1.embedrt
cd "$work"

native=${1:-$work/native}
[ $# -gt 0 ] || build "$native" "embedrt_bits embedrt_run"
"$native/embedrt_bits" scalar quick "$model" >quick
"$native/embedrt_bits" scalar full "$model" >full
mkdir tiny
python "$top/tests/emulated/tiny_models.py" tiny
say "built"

for isa in $("$native/embedrt_bits"); do
  same_hashes "native" full "$isa" "$native/embedrt_bits"
  same_vectors "native, $isa" env EMBEDRT_ISA="$isa" "$native/embedrt-run"
done

. "$top/tests/emulated/x86.sh"
. "$top/tests/emulated/arm.sh"
. "$top/tests/emulated/clang.sh"
