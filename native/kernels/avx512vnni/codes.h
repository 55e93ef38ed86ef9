// Floats to integer codes, as QuantizeArgs has them. Local to the unit that includes it, as in vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {
namespace {

// The codes of sixteen values of which the first `valid` are real, within [-most, most]; zero past those.
inline __m512i codes_of(const float* x, int64_t valid, __m512 inverse, float most) {
  const __mmask16 lanes = first_lanes(valid);
  __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x), inverse);
  value = _mm512_min_ps(value, _mm512_set1_ps(most));
  value = _mm512_max_ps(value, _mm512_set1_ps(-most));
  // Masked again: with an infinite inverse (denormal x) a padding lane is not zero.
  return _mm512_maskz_cvtps_epi32(lanes, value);
}

}  // namespace
}  // namespace honed::avx512vnni
