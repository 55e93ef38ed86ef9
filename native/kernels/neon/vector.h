// Vectors of the NEON kernels: the operations that kernels/shared asks for, and pieces of the matmuls. Everything is
// local to the unit that includes it: no other unit may share these copies.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "kernels/shared/vector.h"

namespace honed::neon {
namespace {

using shared::for_blocks;

inline constexpr int kVector = 4;  // floats of one register
inline constexpr int kPanelVectors = kPanelColumns / kVector;

inline float32x4_t f16_to_f32(const uint8_t* source) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(source)));
}

inline float32x4_t bf16_to_f32(const uint16_t* source) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(source)), 16));
}

struct Vector {
  using Floats = float32x4_t;
  using Ints = int32x4_t;
  using First = int64_t;  // how many
  using Lanes = uint32x4_t;
  static constexpr int kWidth = kVector;

  static Floats zero() { return vdupq_n_f32(0.0f); }
  static Floats all(float x) { return vdupq_n_f32(x); }
  static Ints all_ints(int32_t x) { return vdupq_n_s32(x); }
  static Ints lane_numbers() { return int32x4_t{0, 1, 2, 3}; }

  static First first(int64_t count) { return count; }
  static Floats load(const float* x, shared::Whole = {}) { return vld1q_f32(x); }
  static Floats load(const float* x, First count) {
    if (count >= kWidth) return vld1q_f32(x);
    float padded[kWidth] = {};
    for (int64_t i = 0; i < count; ++i) padded[i] = x[i];
    return vld1q_f32(padded);
  }
  static void store(float* y, Floats x) { vst1q_f32(y, x); }
  static void store(float* y, shared::Whole, Floats x) { vst1q_f32(y, x); }
  static void store(float* y, First count, Floats x) {
    if (count >= kWidth) return vst1q_f32(y, x);
    float lanes[kWidth];
    vst1q_f32(lanes, x);
    for (int64_t i = 0; i < count; ++i) y[i] = lanes[i];
  }
  static void store_ints(int32_t* y, Ints x) { vst1q_s32(y, x); }

  static Floats widen(const float* cells) { return vld1q_f32(cells); }
  static Floats widen(const uint16_t* cells) { return bf16_to_f32(cells); }
  static Floats upper_bf16(Floats a) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0xffff0000)));
  }
  static Floats lower_bf16(Floats a) { return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 16)); }
  static Floats rounded_bf16(Floats a) {
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return upper_bf16(vreinterpretq_f32_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd)));
  }
  static Floats widen_f16(const uint16_t* cells) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(cells))); }
  // Rounded to nearest even; not a number becomes quiet.
  static void store_bf16(uint16_t* place, Floats x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    vst1_u16(place, vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16));
  }

  static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static Floats sub(Floats a, Floats b) { return vsubq_f32(a, b); }
  static Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
  static Floats div(Floats a, Floats b) { return vdivq_f32(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static Floats min(Floats a, Floats b) { return vminnmq_f32(a, b); }
  static Floats max(Floats a, Floats b) { return vmaxnmq_f32(a, b); }
  static Floats negate(Floats a) { return vnegq_f32(a); }
  static Floats magnitude(Floats a) { return vabsq_f32(a); }
  static Floats either(Floats a, Floats b) {
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
  }
  static Floats both(Floats a, Floats b) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
  }
  static Floats round(Floats a) { return vrndnq_f32(a); }
  static Floats times_power_of_two(Floats a, Floats n) {
    const int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), exponent));
  }

  static Lanes greater(Floats a, Floats b) { return vcgtq_f32(a, b); }
  static Floats select(Lanes lanes, Floats a, Floats b) { return vbslq_f32(lanes, a, b); }
  static Ints select(Lanes lanes, Ints a, Ints b) { return vbslq_s32(lanes, a, b); }
  // Most vectors are inside entirely.
  static Ints within(int64_t at, int64_t first, int64_t end, Ints a, Ints b) {
    if (at >= first && at + kWidth <= end) return a;
    const int32x4_t numbers = vaddq_s32(all_ints(static_cast<int32_t>(at)), lane_numbers());
    const uint32x4_t from_first = vcgeq_s32(numbers, all_ints(static_cast<int32_t>(first)));
    return select(vandq_u32(from_first, vcltq_s32(numbers, all_ints(static_cast<int32_t>(end)))), a, b);
  }
  static Floats within(int64_t at, int64_t first, int64_t end, Floats a, Floats b) {
    return vreinterpretq_f32_s32(within(at, first, end, vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b)));
  }

  static float first_lane(Floats a) { return vgetq_lane_f32(a, 0); }
  static float fold(const Floats (&lanes)[kLanes / kWidth]) {
    const float32x4_t four = vaddq_f32(vaddq_f32(lanes[0], lanes[2]), vaddq_f32(lanes[1], lanes[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float largest(Floats a) { return vmaxvq_f32(a); }

  static Ints to_ints(Floats a) { return vcvtnq_s32_f32(a); }
  static Floats to_floats(Ints a) { return vcvtq_f32_s32(a); }
  static Ints add(Ints a, Ints b) { return vaddq_s32(a, b); }
  static Ints first_of(First count, Ints a) { return within(0, 0, count, a, all_ints(0)); }
  static int32_t store_bytes(int8_t* place, const Ints (&block)[kBlock / kWidth]) {
    int32_t sum = 0;
    for (int v = 0; v < kBlock / kWidth; v += 4) {
      const int16x8_t low = vcombine_s16(vmovn_s32(block[v]), vmovn_s32(block[v + 1]));
      const int16x8_t high = vcombine_s16(vmovn_s32(block[v + 2]), vmovn_s32(block[v + 3]));
      vst1q_s8(place + v * kWidth, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
      sum += vaddvq_s16(vaddq_s16(low, high));
    }
    return sum;
  }
};

}  // namespace
}  // namespace honed::neon
