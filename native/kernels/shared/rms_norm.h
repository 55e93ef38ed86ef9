// RMSNorm of whole rows and of heads.
#pragma once

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

// The factor 1 / rms(x). Zeros behind the width leave their lanes as they are.
template <FloatVector V>
inline float inverse_rms(const float* x, int64_t width, float eps) {
  constexpr int kVectors = kLanes / V::kWidth;
  Floats<V> lanes[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) lanes[v] = V::zero();
  int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Floats<V> value = V::load(x + k + v * V::kWidth);
      lanes[v] = V::fma(value, value, lanes[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = k + v * V::kWidth;
    if (at >= width) continue;
    const Floats<V> value = V::load(x + at, V::first(width - at));
    lanes[v] = V::fma(value, value, lanes[v]);
  }
  return 1.0f / __builtin_sqrtf(V::fold(lanes) / static_cast<float>(width) + eps);
}

// y = (x * r) * weight; y may equal x.
template <FloatVector V>
inline void scale_row(const float* x, float r, const float* weight, int64_t width, float* y) {
  const Floats<V> factor = V::all(r);
  for_vectors<V>(width, [&](int64_t i, auto lanes) {
    V::store(y + i, lanes, V::mul(V::mul(V::load(x + i, lanes), factor), V::load(weight + i, lanes)));
  });
}

template <FloatVector V>
void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    const float r = inverse_rms<V>(x, args.width, args.eps);
    scale_row<V>(x, r, args.weight, args.width, args.y + row * args.y_stride);
  }
}

}  // namespace
}  // namespace honed::shared
