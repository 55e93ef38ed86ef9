// Floats to integer codes, as QuantizeArgs has them. Everything is static, as in vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

static inline float largest_magnitude(const float* x, int64_t count) {
  __m512 largest = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += kVector) {
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(count - i), x + i);
    largest = _mm512_max_ps(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), value), largest);
  }
  return _mm512_reduce_max_ps(largest);  // of magnitudes: any order gives the same
}

// The codes of sixteen values of which the first `valid` are real, within [-most, most]; zero past those.
static inline __m512i codes_of(const float* x, int64_t valid, __m512 inverse, float most) {
  const __mmask16 lanes = first_lanes(valid);
  __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x), inverse);
  value = _mm512_min_ps(value, _mm512_set1_ps(most));
  value = _mm512_max_ps(value, _mm512_set1_ps(-most));
  // Masked again: with an infinite inverse (denormal x) a padding lane is not zero.
  return _mm512_maskz_cvtps_epi32(lanes, value);
}

}  // namespace honed::avx512vnni
