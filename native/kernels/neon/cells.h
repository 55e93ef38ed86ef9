// The cells of the KV cache in vectors: four at a time, widened to floats. Everything is static, as in vector.h.
#pragma once

#include "kernels/neon/vector.h"

namespace honed::neon {

static inline float32x4_t widen(const float* cells) { return vld1q_f32(cells); }
static inline float32x4_t widen(const uint16_t* cells) { return bf16_to_f32(cells); }
static inline float32x4_t widen(const int8_t* cells) {
  int32_t four;
  std::memcpy(&four, cells, sizeof four);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(static_cast<uint32_t>(four))))));
}

// The first `count` cells (all from 4 on), zeros behind them; no others are touched.
template <typename Cell>
static inline float32x4_t widen_first(const Cell* cells, int64_t count) {
  if (count >= kVector) return widen(cells);
  Cell padded[kVector] = {};
  std::memcpy(padded, cells, static_cast<std::size_t>(count) * sizeof(Cell));
  return widen(padded);
}

}  // namespace honed::neon
