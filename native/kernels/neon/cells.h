// The cells of the KV cache in vectors: four at a time, widened to floats, and what codes are made of. Everything is
// static, as in vector.h.
#pragma once

#include "kernels/neon/vector.h"

namespace honed::neon {

static inline float32x4_t widen(const float* cells) { return vld1q_f32(cells); }
static inline float32x4_t widen(const uint16_t* cells) { return bf16_to_f32(cells); }

// The first `count` cells (all from 4 on), zeros behind them; no others are touched.
template <typename Cell>
static inline float32x4_t widen_first(const Cell* cells, int64_t count) {
  if (count >= kVector) return widen(cells);
  Cell padded[kVector] = {};
  std::memcpy(padded, cells, static_cast<std::size_t>(count) * sizeof(Cell));
  return widen(padded);
}

static inline float largest_magnitude(const float* x, int64_t count) {
  float32x4_t largest = vdupq_n_f32(0.0f);
  for (int64_t i = 0; i < count; i += kVector) largest = vmaxq_f32(largest, vabsq_f32(load_first(x + i, count - i)));
  return vmaxvq_f32(largest);
}

// What values are multiplied by to become codes within [-Most, Most].
template <int Most>
static inline float inverse_step(float largest) {
  return largest > 0.0f ? static_cast<float>(Most) / largest : 0.0f;
}

// The numeric minimum sends 0 * infinity (all of them denormals) to Most, as portable does.
template <int Most>
static inline int32x4_t codes_within(float32x4_t x, float inverse) {
  float32x4_t value = vmulq_n_f32(x, inverse);
  value = vminnmq_f32(value, vdupq_n_f32(static_cast<float>(Most)));
  value = vmaxnmq_f32(value, vdupq_n_f32(static_cast<float>(-Most)));
  return vcvtnq_s32_f32(value);
}

}  // namespace honed::neon
