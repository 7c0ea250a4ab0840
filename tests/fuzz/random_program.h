// Programs that load, of texts and of images: random ops over random widths. Mutation alone rarely keeps all shapes in
// agreement.
#pragma once

#include <random>

#include "../cpp/file_maker.h"

namespace embedrt::fuzz {

test::ProgramMaker random_program(std::minstd_rand& random);
test::ProgramMaker random_image_program(std::minstd_rand& random);

}  // namespace embedrt::fuzz
