#!/usr/bin/env bash
# The C library as others use it: installs it, builds a C99 program against the installed package, runs that and the runner, and compares
# their vectors with Python's; looks at the symbols and the size of the shared library.
#
#   tests/c_library/run.sh [BUILD]
#
# BUILD is a folder where the library is built; without it one is. `python` must have the package installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
top=$PWD
model=$top/tests/data/tiny-bert-v1.embedrt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
fail() {
  say "FAILED: $*" >&2
  exit 1
}
quietly() { "$@" >"$work/log" 2>&1 || { tail -40 "$work/log"; fail "$*"; }; }

build=${1:-$work/build}
if [ $# -eq 0 ]; then
  quietly cmake -S "$top" -B "$build"
  quietly cmake --build "$build" --parallel 2
fi
quietly cmake --install "$build" --prefix "$work/installed"
mv "$work/installed" "$work/prefix" # what is installed may be moved
prefix=$work/prefix
say "installed"

# The header alone, in the oldest languages that it promises.
echo '#include <embedrt.h>' >"$work/header.c"
for compiler in "${CC:-cc} -std=c99 -x c" "${CXX:-c++} -std=c++11 -x c++"; do
  # shellcheck disable=SC2086
  quietly $compiler -Wall -Wextra -pedantic -Werror -fsyntax-only -I"$prefix/include" "$work/header.c"
done
quietly cmake -S tests/c_library -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix"
quietly cmake --build "$work/consumer"
quietly cmake -S tests/c_library -B "$work/subproject" -DEMBEDRT_SOURCE="$top"
say "the header, a program that links the package, the sources as a subproject"

# What docs/embedding.md says to link by hand.
quietly ${CC:-cc} -std=c99 -I"$prefix/include" cpp/examples/embed_ids.c -L"$prefix/lib" -lembedrt -Wl,-rpath,"$prefix/lib" -o "$work/by_hand_shared"
quietly ${CC:-cc} -std=c99 -DEMBEDRT_STATIC -I"$prefix/include" cpp/examples/embed_ids.c "$prefix/lib/libembedrt.a" -lstdc++ -lm -pthread \
  -o "$work/by_hand_static"
echo "2 17 30 5 3" >"$work/ids"
"$prefix/bin/embedrt-run" "$model" --ids "$work/ids" | tr ' ' '\n' >"$work/expected"
[ "$(wc -l <"$work/expected")" -eq 36 ] || fail "the runner printed $(wc -l <"$work/expected") numbers"
for program in "$work"/consumer/with_embedrt "$work"/consumer/with_embedrt_static "$work"/by_hand_shared "$work"/by_hand_static; do
  # shellcheck disable=SC2046
  "$program" "$model" $(cat "$work/ids") >"$work/found"
  diff "$work/expected" "$work/found" || fail "$program prints other numbers than the runner"
done

# The program that docs/embedding.md begins with; its first text is the one above.
sed -n '/^```c$/,/^```$/{/^```/d;p}' docs/embedding.md >"$work/guide.c"
quietly ${CC:-cc} -std=c99 -Wall -Wextra -Werror -I"$prefix/include" "$work/guide.c" -L"$prefix/lib" -lembedrt -Wl,-rpath,"$prefix/lib" \
  -o "$work/guide"
cp "$model" "$work/model.embedrt"
[ "$(cd "$work" && ./guide)" = "$(head -1 "$work/expected")" ] || fail "the guide's program prints another number than the runner"
say "the example, linked in four ways, and the guide's"

"${PYTHON:-python}" tests/c_library/compare.py "$prefix/bin/embedrt-run" "$model" "$work"
say "the runner's vectors are Python's, to the bit"

library=$(realpath "$prefix/lib/libembedrt.so")
grep -o 'embedrt_[a-z_]*(' "$prefix/include/embedrt.h" | tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '{print $NF}' | sort >"$work/exported"
diff "$work/declared" "$work/exported" || fail "the library exports something else than its header declares"
strip -o "$work/stripped" "$library"
size=$(stat -c %s "$work/stripped")
limit=$([ "$(uname -m)" = aarch64 ] && echo 1000000 || echo 1500000)
[ "$size" -le "$limit" ] || fail "the stripped library has $size bytes, at most $limit"
say "exports $(wc -l <"$work/exported") functions; $size bytes"
