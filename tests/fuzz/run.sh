#!/bin/sh
# Builds the fuzzers with clang and runs them: tests/fuzz/run.sh [runs of the model file [runs of the tokenizer]]
# 20,000 and none unless told. Inputs that were found worth keeping stay in build/fuzz/corpus; see docs/fuzzing.md.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/fuzz
runs=${1:-20000}
tokenizer_runs=${2:-0}
clang=${CXX:-$(command -v clang++-19 || command -v clang++)}

cmake -S "$root/tests/fuzz" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$clang" >/dev/null
cmake --build "$build" --target make_seeds fuzz_model_file --parallel "${JOBS:-2}"
mkdir -p "$build/seeds" "$build/corpus" "$build/tokenizer_corpus"
"$build/make_seeds" "$build/seeds"

# What broke something once is tried first, on every instruction set.
FUZZ_EVERY_ISA=1 "$build/fuzz_model_file" -runs=0 "$root/tests/fuzz/found"
"$build/fuzz_model_file" -runs="$runs" -mutate_depth=1 -cross_over=0 -max_len=131072 -timeout=20 -rss_limit_mb=2048 \
  -artifact_prefix="$build/" -print_final_stats=1 "$build/corpus" "$build/seeds"

if [ "$tokenizer_runs" -gt 0 ]; then
  "${PYTHON:-python3}" "$root/tests/fuzz/fuzz_tokenizer.py" -runs="$tokenizer_runs" -mutate_depth=1 -max_len=4096 -timeout=20 \
    -artifact_prefix="$build/" "$build/tokenizer_corpus"
fi
