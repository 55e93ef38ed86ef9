// The arithmetic of cpu/kernel_table.h once more, one scalar at a time and from its text alone: what every table,
// portable among them, is judged by. Written for reading, not for speed; shares no code with any kernel.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/kernel_table.h"

namespace honed::contract {

inline float oracle_exp(float x) {
  x = std::min(std::max(x, -87.33654f), 88.0f);
  const float n = std::nearbyintf(x * 1.44269504f);
  float r = std::fmaf(n, -0.693359375f, x);
  r = std::fmaf(n, 2.12194440e-4f, r);
  const float coefficients[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                                5.0000001201e-1f};
  float p = 1.9875691500e-4f;
  for (const float c : coefficients) p = std::fmaf(p, r, c);
  p = std::fmaf(p, r * r, r) + 1.0f;
  return std::ldexp(p, static_cast<int>(n));
}

template <typename Terms>
float oracle_rational(float x) {
  x = std::min(std::max(x, -Terms::limit), Terms::limit);
  float top = 0.0f;
  float bottom = 0.0f;
  for (const float c : Terms::top) top = std::fmaf(top, x * x, c);
  for (const float c : Terms::bottom) bottom = std::fmaf(bottom, x * x, c);
  return x * top / bottom;
}
inline float oracle_tanh(float x) { return oracle_rational<TanhTerms>(x); }

inline float oracle_activation(Activation activation, float g) {
  switch (activation) {
    case Activation::silu: return g / (1.0f + oracle_exp(-g));
    case Activation::gelu_tanh: {
      const float cubic = std::fmaf(0.044715f * g * g, g, g);
      const float t = 0.7978845608f * cubic;
      return g / (1.0f + oracle_exp(-2.0f * t));
    }
    case Activation::gelu: return std::fmaf(0.5f * g, oracle_rational<ErfTerms>(g * 0.70710678f), 0.5f * g);
    case Activation::tanh: return oracle_tanh(g);
    case Activation::relu: return g > 0.0f ? g : 0.0f;
  }
  return g;
}

inline float oracle_gate(Gate gate, float g, float up) {
  switch (gate) {
    case Gate::silu: return oracle_activation(Activation::silu, g) * up;
    case Gate::gelu_tanh: return oracle_activation(Activation::gelu_tanh, g) * up;
    case Gate::gelu: return oracle_activation(Activation::gelu, g) * up;
    case Gate::clamped_silu: {
      const float low = std::min(g, 7.0f);
      const float silu = low / (1.0f + oracle_exp(-(1.702f * low)));
      return silu * (std::clamp(up, -7.0f, 7.0f) + 1.0f);
    }
  }
  return g;
}

// A sum over index mod 16, folded 16 to 8 to 4 to 2 to 1.
class OracleLanes {
 public:
  void add(int64_t index, float value) { lanes_[index % 16] = lanes_[index % 16] + value; }
  void add_square(int64_t index, float value) {
    lanes_[index % 16] = std::fmaf(value, value, lanes_[index % 16]);
  }
  float sum() const {
    float folded[16];
    std::copy(lanes_, lanes_ + 16, folded);
    for (int half = 8; half >= 1; half /= 2) {
      for (int i = 0; i < half; ++i) folded[i] = folded[i] + folded[i + half];
    }
    return folded[0];
  }

 private:
  float lanes_[16] = {};
};

inline void oracle_rms_norm(const float* x, const float* weight, int64_t width, float eps, float* y) {
  OracleLanes lanes;
  for (int64_t i = 0; i < width; ++i) lanes.add_square(i, x[i]);
  const float r = 1.0f / std::sqrt(lanes.sum() / static_cast<float>(width) + eps);
  for (int64_t i = 0; i < width; ++i) y[i] = (x[i] * r) * weight[i];
}

inline void oracle_layer_norm(const float* x, const float* weight, const float* bias, int64_t width, float eps,
                              float* y) {
  OracleLanes values;
  for (int64_t i = 0; i < width; ++i) values.add(i, x[i]);
  const float mean = values.sum() / static_cast<float>(width);
  OracleLanes squares;
  for (int64_t i = 0; i < width; ++i) squares.add_square(i, x[i] - mean);
  const float r = 1.0f / std::sqrt(squares.sum() / static_cast<float>(width) + eps);
  for (int64_t i = 0; i < width; ++i) {
    const float scaled = (x[i] - mean) * r;
    y[i] = bias == nullptr ? scaled * weight[i] : std::fmaf(scaled, weight[i], bias[i]);
  }
}

inline float oracle_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Rounded to nearest even, by arithmetic: the spacing of bfloat16 around x is 2^16 units in the last place of x.
inline uint16_t oracle_bf16_bits(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  if (std::isinf(x)) return static_cast<uint16_t>(bits >> 16);
  const uint32_t below = bits & 0xffff0000;  // towards zero
  const double low = std::fabs(static_cast<double>(std::bit_cast<float>(below)));
  const double step = std::ldexp(1.0, std::max(static_cast<int>(bits >> 23 & 255), 1) - 127 - 7);
  const double excess = (std::fabs(static_cast<double>(x)) - low) / step;
  const bool up = excess > 0.5 || (excess == 0.5 && (below >> 16 & 1) != 0);
  return static_cast<uint16_t>((below >> 16) + (up ? 1 : 0));
}

// IEEE binary16, finite values.
inline float oracle_f16(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                        : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace honed::contract
