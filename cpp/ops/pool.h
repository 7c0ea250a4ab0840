// What a call needs to know of pool.
#pragma once

#include <string_view>

#include "kernels/kernels.h"

namespace embedrt {

// The kind of that name, as the attribute has it. Throws InputError for another.
PoolKind pool_kind(std::string_view name);

}  // namespace embedrt
