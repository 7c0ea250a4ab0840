# An emulated Nehalem (no AVX, no FMA) and Haswell: kernels, then the installed package. run.sh sources it.

expect_isas Nehalem "scalar" "$(x86 Nehalem "$native/embedrt_bits" | xargs)"
same_hashes Nehalem quick scalar x86 Nehalem "$native/embedrt_bits"
expect_isas Haswell "avx2 scalar" "$(x86 Haswell "$native/embedrt_bits" | xargs)"
same_hashes Haswell quick avx2 x86 Haswell "$native/embedrt_bits"

python=$(command -v python)
wheel=$top/tests/emulated/wheel_bits.py
"$python" "$wheel" "$model" | tail -1 >package
for cpu in Nehalem:scalar Haswell:avx2; do
  x86 "${cpu%:*}" "$python" "$wheel" "$model" >found
  expect_isas "the package on ${cpu%:*}" "${cpu#*:}" "$(head -1 found)"
  tail -1 found >found_package
  expect "the package on ${cpu%:*}" package found_package
done
