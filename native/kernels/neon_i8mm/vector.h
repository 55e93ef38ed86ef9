// Vector pieces of the NEON kernels with int8 matrix products. Everything is static: no other unit may share these
// copies.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::neon_i8mm {

inline constexpr int kVector = 4;  // floats of one register
inline constexpr int kPanelVectors = kPanelColumns / kVector;

// The first `count` (less than 4, or all) of four floats, zeros behind them.
static inline float32x4_t load_first(const float* x, int64_t count) {
  if (count >= kVector) return vld1q_f32(x);
  float padded[kVector] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = x[i];
  return vld1q_f32(padded);
}

// Stores the first `count` of four floats; none for a negative count.
static inline void store_first(float* y, int64_t count, float32x4_t value) {
  if (count >= kVector) {
    vst1q_f32(y, value);
    return;
  }
  float lanes[kVector];
  vst1q_f32(lanes, value);
  for (int64_t i = 0; i < count; ++i) y[i] = lanes[i];
}

// See "exp(x), everywhere" in kernel_table.h.
static inline float32x4_t exp(float32x4_t x) {
  x = vmaxq_f32(x, vdupq_n_f32(-87.33654f));
  x = vminq_f32(x, vdupq_n_f32(88.0f));
  const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504f)));
  float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-0.693359375f));
  r = vfmaq_f32(r, n, vdupq_n_f32(2.12194440e-4f));
  float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
  p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
  p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
  p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
  p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
  p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
  p = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), vdupq_n_f32(1.0f));
  const int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n), 23);
  return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
}

static inline float32x4_t silu_gate(float32x4_t gate, float32x4_t up) {
  const float32x4_t denominator = vaddq_f32(vdupq_n_f32(1.0f), exp(vnegq_f32(gate)));
  return vmulq_f32(vdivq_f32(gate, denominator), up);
}

static inline float32x4_t gelu_tanh_gate(float32x4_t gate, float32x4_t up) {
  const float32x4_t square = vmulq_f32(vmulq_f32(vdupq_n_f32(0.044715f), gate), gate);
  const float32x4_t t = vmulq_f32(vdupq_n_f32(0.7978845608f), vfmaq_f32(gate, square, gate));
  const float32x4_t denominator = vaddq_f32(vdupq_n_f32(1.0f), exp(vmulq_f32(vdupq_n_f32(-2.0f), t)));
  return vmulq_f32(vdivq_f32(gate, denominator), up);
}

static inline float32x4_t f16_to_f32(const uint8_t* source) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(source)));
}

// Calls body.operator()<Count>(first) over [begin, end): blocks of `Most`, then one block of what is left.
template <int Most, typename Body>
static inline void for_blocks(int64_t begin, int64_t end, const Body& body) {
  for (; begin + Most <= end; begin += Most) body.template operator()<Most>(begin);
  if constexpr (Most > 1) {
    if (begin < end) for_blocks<Most - 1>(begin, end, body);
  }
}

}  // namespace honed::neon_i8mm
