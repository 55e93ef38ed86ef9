// LayerNorm of whole rows.
#pragma once

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

// Sums of a row in kLanes lanes, folded: lane by lane add(sums, values), where values are x - shift, and 0 behind the
// width.
template <FloatVector V, typename Add>
inline float sum_row(const float* x, int64_t width, float shift, const Add& add) {
  constexpr int kVectors = kLanes / V::kWidth;
  const Floats<V> origin = V::all(shift);
  Floats<V> lanes[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) lanes[v] = V::zero();
  int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) lanes[v] = add(lanes[v], V::sub(V::load(x + k + v * V::kWidth), origin));
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = k + v * V::kWidth;
    if (at >= width) continue;
    const Floats<V> values = V::sub(V::load(x + at, V::first(width - at)), origin);
    lanes[v] = add(lanes[v], V::within(at, 0, width, values, V::zero()));
  }
  return V::fold(lanes);
}

template <FloatVector V>
void layer_norm(const LayerNormArgs& args) {
  const float width = static_cast<float>(args.width);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    const float mean =
        sum_row<V>(x, args.width, 0.0f, [](Floats<V> sums, Floats<V> value) { return V::add(sums, value); }) / width;
    const float squares =
        sum_row<V>(x, args.width, mean, [](Floats<V> sums, Floats<V> value) { return V::fma(value, value, sums); });
    const Floats<V> factor = V::all(1.0f / __builtin_sqrtf(squares / width + args.eps));
    const Floats<V> origin = V::all(mean);
    for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
      const Floats<V> scaled = V::mul(V::sub(V::load(x + i, lanes), origin), factor);
      const Floats<V> weight = V::load(args.weight + i, lanes);
      V::store(y + i, lanes,
               args.bias == nullptr ? V::mul(scaled, weight) : V::fma(scaled, weight, V::load(args.bias + i, lanes)));
    });
  }
}

}  // namespace
}  // namespace honed::shared
