# clang's builds give gcc's bits, and the library for ARM stays small. run.sh sources it.

build clang embedrt_bits -DCMAKE_CXX_COMPILER=clang++-19
for isa in $(clang/embedrt_bits); do
  same_hashes "clang" full "$isa" clang/embedrt_bits
done

build_arm clang-aarch64 "embedrt embedrt_bits" clang++-19 -DCMAKE_CXX_COMPILER_TARGET=aarch64-linux-gnu
for isa in $(arm max clang-aarch64/embedrt_bits); do
  same_hashes "clang, max" quick "$isa" arm max clang-aarch64/embedrt_bits
done

for folder in "$aarch64" clang-aarch64; do
  aarch64-linux-gnu-strip -o stripped.so "$folder/libembedrt.so"
  size=$(stat -c %s stripped.so)
  say "$(basename "$folder"): libembedrt.so has $size bytes, stripped"
  [ "$size" -le 1000000 ] || fail "more than a megabyte"
done
