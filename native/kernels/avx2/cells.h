// The cells of the KV cache in vectors: eight at a time, widened to floats, and what codes are made of. Everything is
// static, as in vector.h.
#pragma once

#include <cstring>

#include "kernels/avx2/vector.h"

namespace honed::avx2 {

static inline __m256 widen(const float* cells) { return _mm256_loadu_ps(cells); }
static inline __m256 widen(const uint16_t* cells) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(cells)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

// The first `count` cells (all from 8 on), zeros behind them; no others are touched.
template <typename Cell>
static inline __m256 widen_first(const Cell* cells, int64_t count) {
  if (count >= kVector) return widen(cells);
  Cell padded[kVector] = {};
  std::memcpy(padded, cells, static_cast<std::size_t>(count) * sizeof(Cell));
  return widen(padded);
}

static inline float largest_magnitude(const float* x, int64_t count) {
  __m256 largest = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += kVector) {
    const __m256 value = load_first(x + i, count - i);
    largest = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), value), largest);
  }
  return largest_lane(largest);
}

// What values are multiplied by to become codes within [-Most, Most].
template <int Most>
static inline __m256 inverse_step(float largest) {
  return _mm256_set1_ps(largest > 0.0f ? static_cast<float>(Most) / largest : 0.0f);
}

// The operand order sends 0 * infinity (all of them denormals) to Most, as portable does.
template <int Most>
static inline __m256i codes_within(__m256 x, __m256 inverse) {
  __m256 value = _mm256_mul_ps(x, inverse);
  value = _mm256_min_ps(value, _mm256_set1_ps(static_cast<float>(Most)));
  value = _mm256_max_ps(value, _mm256_set1_ps(static_cast<float>(-Most)));
  return _mm256_cvtps_epi32(value);
}

}  // namespace honed::avx2
