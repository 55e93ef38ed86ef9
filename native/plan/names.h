// Names of the enumerations of a plan, as error messages and the Python side spell them; those of weights are in
// plan/weight_kinds.def.
#pragma once

#include <array>

#include "plan/plan.h"

namespace honed {

inline constexpr std::array kKvNames{"float32", "bfloat16", "int8"};
inline constexpr std::array kSlotNames{"f32", "quantized", "routing"};
inline constexpr std::array kInputNames{"ids", "floats"};
inline constexpr std::array kRowsNames{"tokens", "selected", "sequences"};

}  // namespace honed
