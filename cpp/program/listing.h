// A program as text, for people.
#pragma once

#include <string>

#include "program/program.h"

namespace embedrt {

// One line an instruction, "%5 = linear(%4, %2) weight=layer.0.out.weight[384,384]:panel_i8 … -> rows x 384";
// attributes at their default are left out.
std::string listing(const Program& program);

std::string_view layout_name(Layout layout);

}  // namespace embedrt
