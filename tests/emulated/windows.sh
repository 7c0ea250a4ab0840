#!/usr/bin/env bash
# Windows on x86-64, as far as it can be had elsewhere: everything but the Python module, built by clang with the headers and libraries of
# mingw-w64, and run by Wine: the C++ tests, the same bits as here on every instruction set, the library as a DLL, and the runner.
#
#   tests/emulated/windows.sh [BUILD]
#
# BUILD is a folder with a native embedrt_bits; without it one is built. `python` must have the package and its extra `convert` installed.
# Needs clang-19, g++-mingw-w64-x86-64-posix and wine64 (Debian's names).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=$top/tests/data/tiny-bert-v1.embedrt
cd "$work"

export WINEPREFIX=$work/wine WINEDEBUG=-all
trap 'wineserver -k 2>/dev/null || true; rm -rf "$work"' EXIT
windows() { emulated wine "$@" | tr -d '\r'; }
windows wineboot -i
say "Wine has begun"

native=${1:-$work/native}
[ $# -gt 0 ] || build "$native" embedrt_bits
"$native/embedrt_bits" scalar quick "$model" >quick
"$native/embedrt_bits" scalar full "$model" >full
mkdir tiny
python "$top/tests/emulated/tiny_models.py" tiny

# The tests take fmaf as a reference, and mingw-w64's is not correctly rounded: theirs is the instruction. The library calls none.
target=x86_64-w64-mingw32
clang-19 --target=$target -mfma -O2 -x c -c - -o fmaf.o <<<'float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }'
build windows all -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=AMD64 -DCMAKE_CXX_COMPILER=clang++-19 \
  -DCMAKE_CXX_COMPILER_TARGET=$target -DCMAKE_SHARED_LINKER_FLAGS="-static -pthread" \
  -DCMAKE_EXE_LINKER_FLAGS="-static -pthread $work/fmaf.o"
clang-19 --target=$target -Wall -Wextra -Werror -I"$top/cpp/c_api" "$top/tests/emulated/unload.c" -o unload.exe
say "built"

windows windows/embedrt_tests.exe | tail -1
for isa in $(windows windows/embedrt_bits.exe); do
  same_hashes "Windows" full "$isa" windows windows/embedrt_bits.exe
done
same_vectors "Windows" windows windows/embedrt-run.exe
windows unload.exe windows/libembedrt.dll "$model"

# Words of the command line and names of files are UTF-8.
cp "$model" Größe-中文.embedrt
windows windows/embedrt-run.exe Größe-中文.embedrt >by_name
windows windows/embedrt-run.exe "$model" | diff - by_name || fail "a model with another name"
say "a name in UTF-8"
