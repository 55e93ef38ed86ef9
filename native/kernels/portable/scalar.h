// Scalar pieces of the portable kernels. Everything is static: no other unit may share these copies.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/kernel_table.h"

namespace honed::portable {

// One rounding. Without an FMA instruction set this is a call into libm, which is slow and exact.
static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

static inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Rounds to the nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
static inline float round_to_even(float x) {
  const float shift = 12582912.0f;
  return (x + shift) - shift;
}

static inline float bf16_to_f32(uint16_t bits) { return from_bits(static_cast<uint32_t>(bits) << 16); }

static inline float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) {
    const uint32_t quiet = mantissa == 0 ? 0 : 0x400000u;
    return from_bits(sign | 0x7f800000u | (mantissa << 13) | quiet);
  }
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return from_bits(sign | to_bits(magnitude));
  }
  return from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// See "exp(x), everywhere" in kernel_table.h.
static inline float exp(float x) {
  x = x > -87.33654f ? x : -87.33654f;
  x = x < 88.0f ? x : 88.0f;
  const float n = round_to_even(x * 1.44269504f);
  float r = fma(n, -0.693359375f, x);
  r = fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fma(p, r, 1.3981999507e-3f);
  p = fma(p, r, 8.3334519073e-3f);
  p = fma(p, r, 4.1665795894e-2f);
  p = fma(p, r, 1.6666665459e-1f);
  p = fma(p, r, 5.0000001201e-1f);
  p = fma(p, r * r, r) + 1.0f;
  return from_bits(to_bits(p) + (static_cast<uint32_t>(static_cast<int32_t>(n)) << 23));
}

template <int Count>
static inline float polynomial(const float (&coefficients)[Count], float x) {
  float p = coefficients[0];
  for (int i = 1; i < Count; ++i) p = fma(p, x, coefficients[i]);
  return p;
}

// erf or tanh, see "erf(x) and tanh(x), everywhere".
template <typename Terms>
static inline float rational(float x) {
  x = x > -Terms::limit ? x : -Terms::limit;
  x = x < Terms::limit ? x : Terms::limit;
  const float square = x * x;
  return (x * polynomial(Terms::top, square)) / polynomial(Terms::bottom, square);
}

static inline float silu(float x) { return x / (1.0f + exp(-x)); }

static inline float gelu_tanh(float x) {
  const float t = 0.7978845608f * fma(0.044715f * x * x, x, x);
  return x / (1.0f + exp(-2.0f * t));
}

static inline float gelu(float x) {
  const float half = 0.5f * x;
  return fma(half, rational<ErfTerms>(x * 0.70710678f), half);
}

static inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::silu: return silu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::gelu: return gelu(x);
    case Activation::tanh: return rational<TanhTerms>(x);
    case Activation::relu: return x > 0.0f ? x : 0.0f;
  }
  return x;
}

static inline float gated(Gate gate, float g, float up) {
  switch (gate) {
    case Gate::silu: return silu(g) * up;
    case Gate::gelu_tanh: return gelu_tanh(g) * up;
    case Gate::gelu: return gelu(g) * up;
    case Gate::clamped_silu: {
      g = g < kGateLimit ? g : kGateLimit;
      up = up > -kGateLimit ? up : -kGateLimit;
      up = up < kGateLimit ? up : kGateLimit;
      return (g / (1.0f + exp(-kGateSlope * g))) * (up + 1.0f);
    }
  }
  return up;
}

// l[i] + l[i + half] until one is left; destroys the lanes.
static inline float fold_lanes(float* lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  }
  return lanes[0];
}

// Codes of QuantizeArgs, within [-Most, Most]; returns the scale.
template <int Most, typename Code>
static inline float codes_within(const float* x, int64_t count, Code* codes) {
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = __builtin_fabsf(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float most = Most;
  const float inverse = largest > 0.0f ? most / largest : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    // Clamping comes first and sends 0 * infinity (all of them denormals) to Most, whatever its order of operands.
    float value = x[i] * inverse;
    value = value < most ? value : most;
    value = value > -most ? value : -most;
    codes[i] = static_cast<Code>(round_to_even(value));
  }
  return largest / most;
}

// The factor 1 / rms(x) of RMSNorm.
static inline float inverse_rms(const float* x, int64_t width, float eps) {
  float lanes[kLanes] = {};
  for (int64_t k = 0; k < width; ++k) lanes[k % kLanes] = fma(x[k], x[k], lanes[k % kLanes]);
  return 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(width) + eps);
}

}  // namespace honed::portable
