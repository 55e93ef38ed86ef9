// The cells of the KV cache in vectors: sixteen at a time, widened to floats. Everything is static, as in vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

static inline __m512 widen(const float* cells) { return _mm512_loadu_ps(cells); }
static inline __m512 widen(const uint16_t* cells) { return bf16_to_f32(cells); }

// The chosen cells, zeros elsewhere; cells not chosen are not touched.
static inline __m512 widen(const float* cells, __mmask16 lanes) { return _mm512_maskz_loadu_ps(lanes, cells); }
static inline __m512 widen(const uint16_t* cells, __mmask16 lanes) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, cells));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

}  // namespace honed::avx512vnni
