#!/usr/bin/env bash
# The same bits on CPUs that are not here, and by another compiler: kernels and whole tiny models on every instruction set of this CPU, on
# emulated x86 and ARM CPUs, by clang and by gcc.
#
#   tests/emulated/run.sh
#
# `python` must have the package and its extra `convert` installed, from a wheel. gcc made that one, and clang what runs natively here.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=$top/tests/data/tiny-bert-v1.embedrt
cd "$work"

build native "embedrt_bits embedrt_run" -DCMAKE_CXX_COMPILER=clang++-19
native=$work/native
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
