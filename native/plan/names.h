// Names of the enumerations, as error messages and the Python side spell them.
#pragma once

#include <array>

#include "plan/op.h"
#include "plan/plan.h"
#include "plan/weight.h"

namespace honed {

inline constexpr std::array kOpNames{"embed",   "rms_norm",  "quantize", "rms_norm_quantize", "matmul",
                                     "rope_kv", "attention", "gated",    "add",               "select"};
inline constexpr std::array kWeightNames{"vector", "table", "dense_f32", "dense_bf16", "int8", "int4",
                                         "blocks", "codebook"};
inline constexpr std::array kKvNames{"float32", "bfloat16", "int8"};
inline constexpr std::array kSlotNames{"f32", "quantized"};
inline constexpr std::array kRowsNames{"tokens", "selected"};

}  // namespace honed
