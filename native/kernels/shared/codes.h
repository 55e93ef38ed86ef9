// Floats to integer codes, as QuantizeArgs has them: within [-Most, Most], the largest magnitude becoming Most.
#pragma once

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

template <FloatVector V>
inline float largest_magnitude(const float* x, int64_t count) {
  constexpr int kVectors = 2;  // as many as keep the maximum from waiting for itself
  Floats<V> largest[kVectors] = {V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + kVectors * V::kWidth <= count; i += kVectors * V::kWidth) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      largest[v] = V::max(V::magnitude(V::load(x + i + v * V::kWidth)), largest[v]);
    }
  }
  for (; i < count; i += V::kWidth) {
    largest[0] = V::max(V::magnitude(V::load(x + i, V::first(count - i))), largest[0]);
  }
  return V::largest(V::max(largest[0], largest[1]));
}

// What values are multiplied by to become codes.
template <int Most>
inline float inverse_step(float largest) {
  return largest > 0.0f ? static_cast<float>(Most) / largest : 0.0f;
}

// min() sends 0 * infinity (all of them denormals) to Most, as portable does.
template <FloatVector V, int Most>
inline Ints<V> codes_within(Floats<V> x, Floats<V> inverse) {
  const Floats<V> value = V::min(V::mul(x, inverse), V::all(static_cast<float>(Most)));
  return V::to_ints(V::max(value, V::all(static_cast<float>(-Most))));
}

// int8 codes of a block of kBlock, of which the first `valid` (at least one) are real and the rest become zero; returns
// their sum.
template <FloatVector V>
inline int32_t encode_block(const float* x, int64_t valid, float inverse, int8_t* codes) {
  constexpr int kVectors = kBlock / V::kWidth;
  const Floats<V> factor = V::all(inverse);
  Ints<V> block[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const int64_t left = valid - v * V::kWidth;
    if (left >= V::kWidth) {
      block[v] = codes_within<V, 127>(V::load(x + v * V::kWidth), factor);
    } else if (left > 0) {
      // Cleared again afterwards: 0 * infinity is not a zero.
      const typename V::First lanes = V::first(left);
      block[v] = V::first_of(lanes, codes_within<V, 127>(V::load(x + v * V::kWidth, lanes), factor));
    } else {
      block[v] = V::all_ints(0);
    }
  }
  return V::store_bytes(codes, block);
}

}  // namespace
}  // namespace honed::shared
