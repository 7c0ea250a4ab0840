# Emulated ARM CPUs: without the dot product instructions, with them, and with the products of matrices, each on what it has best. run.sh
# sources it.

build_arm() { # folder, targets, compiler, further cmake arguments
  build "$1" "$2" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$3" \
    -DCMAKE_EXE_LINKER_FLAGS=-static "${@:4}"
}
on() { # CPU, its instruction sets
  expect_isas "$1" "${*:2}" "$(arm "$1" aarch64/embedrt_bits | xargs)"
  same_hashes "$1" full "$2" arm "$1" aarch64/embedrt_bits
  same_vectors "$1" arm "$1" aarch64/embedrt-run
}
small() { # folder with the shared library
  aarch64-linux-gnu-strip -o stripped.so "$1/libembedrt.so"
  local size
  size=$(stat -c %s stripped.so)
  [ "$size" -le 1000000 ] || fail "$1: libembedrt.so has $size bytes, more than a megabyte"
  say "$1: libembedrt.so has $size bytes"
}

build_arm aarch64 all aarch64-linux-gnu-g++
small aarch64
on cortex-a72 neon scalar
on cortex-a76 dotprod neon scalar
on max i8mm dotprod neon scalar
same_hashes cortex-a72 quick scalar arm cortex-a72 aarch64/embedrt_bits

# Left out: comparisons with scalar on the CPU itself and of functions with float64, since the hashes above are of the same calls; and what an
# emulator cannot tell of a CPU, its speed and the order in which its threads see memory.
arm max aarch64/embedrt_tests -kernels_product -kernels_rows -kernels_attention -kernels_image -kernels_conv -math -peak -sharing | tail -1
say "aarch64: the C++ tests"

build_arm aarch64-clang "embedrt embedrt_bits" clang++-19 -DCMAKE_CXX_COMPILER_TARGET=aarch64-linux-gnu
small aarch64-clang
for isa in $(arm max aarch64-clang/embedrt_bits); do
  same_hashes "clang, max" quick "$isa" arm max aarch64-clang/embedrt_bits
done
