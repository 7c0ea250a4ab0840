// Changes model files so that they stay worth reading: the parts are taken apart, one is changed, and the file is
// written anew with right checksums. Without this a fuzzer tests the checksums and nothing behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

#include "../cpp/file_maker.h"

namespace embedrt::fuzz {

using test::Bytes;
using Random = std::minstd_rand;

// Changes some bytes in place or in number; libFuzzer's own mutations, which follow its dictionary of compared values.
using ByteMutator = size_t (*)(uint8_t* data, size_t size, size_t max_size);

// A changed copy of `file`, of at most `max_size` bytes when that is possible.
Bytes mutate_file(std::span<const std::byte> file, size_t max_size, uint32_t seed, ByteMutator mutate_bytes);

// The records of a program section as they stand. False when they cannot be told apart.
bool parse_program(std::span<const std::byte> section, test::ProgramMaker& program);

// Changes one or more records: ids, shapes, words, order, limits.
void mutate_records(test::ProgramMaker& program, Random& random);

}  // namespace embedrt::fuzz
