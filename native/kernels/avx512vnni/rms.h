// The root mean square of a row and its division by it, for whole rows and for heads. Everything is static, as in
// vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

// The factor 1 / rms(x). Lane j of the one register is lane j of the contract; zeros past the width change nothing.
static inline float inverse_rms(const float* x, int64_t width, float eps) {
  __m512 lanes = _mm512_setzero_ps();
  for (int64_t k = 0; k < width; k += kVector) {
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(width - k), x + k);
    lanes = _mm512_fmadd_ps(value, value, lanes);
  }
  return 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(width) + eps);
}

// y = (x * factor) * weight
static inline void scale_row(const float* x, float factor, const float* weight, int64_t width, float* y) {
  const __m512 factors = _mm512_set1_ps(factor);
  for (int64_t k = 0; k < width; k += kVector) {
    const __mmask16 valid = first_lanes(width - k);
    const __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(valid, x + k), factors);
    _mm512_mask_storeu_ps(y + k, valid, _mm512_mul_ps(value, _mm512_maskz_loadu_ps(valid, weight + k)));
  }
}

}  // namespace honed::avx512vnni
