// The cells of the KV cache in vectors: eight at a time, widened to floats. Everything is static, as in vector.h.
#pragma once

#include <cstring>

#include "kernels/avx2/vector.h"

namespace honed::avx2 {

static inline __m256 widen(const float* cells) { return _mm256_loadu_ps(cells); }
static inline __m256 widen(const uint16_t* cells) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(cells)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline __m256 widen(const int8_t* cells) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(cells))));
}

// The first `count` cells (all from 8 on), zeros behind them; no others are touched.
template <typename Cell>
static inline __m256 widen_first(const Cell* cells, int64_t count) {
  if (count >= kVector) return widen(cells);
  Cell padded[kVector] = {};
  std::memcpy(padded, cells, static_cast<std::size_t>(count) * sizeof(Cell));
  return widen(padded);
}

}  // namespace honed::avx2
