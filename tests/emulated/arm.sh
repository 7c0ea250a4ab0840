# Emulated ARM CPUs: without the dot product instructions, with them, and with the products of matrices, each on what it has best. run.sh
# sources it.

aarch64=$work/aarch64
build_arm "$aarch64" all aarch64-linux-gnu-g++
say "aarch64: built"

on() { # CPU, its instruction sets
  expect_isas "$1" "${*:2}" "$(arm "$1" "$aarch64/embedrt_bits" | xargs)"
  same_hashes "$1" full "$2" arm "$1" "$aarch64/embedrt_bits"
  same_vectors "$1" arm "$1" "$aarch64/embedrt-run"
}
on cortex-a72 neon scalar
on cortex-a76 dotprod neon scalar
on max i8mm dotprod neon scalar
same_hashes cortex-a72 quick scalar arm cortex-a72 "$aarch64/embedrt_bits"

# The comparisons with scalar on the CPU itself are left out: the hashes above are of the same calls.
arm max "$aarch64/embedrt_tests" -kernels_product -kernels_rows -kernels_attention -kernels_image -kernels_conv | tail -1
say "aarch64: the C++ tests"
