// Vector pieces of the AVX2 kernels. Everything is static: no other unit may share these copies.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::avx2 {

inline constexpr int kVector = 8;  // floats of one register

static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

// Pins a running sum to a register: left free, the compiler turns the chain of an unrolled loop into a tree and keeps
// every product of it on the stack.
static inline void pin(__m256i& sum) { asm("" : "+x"(sum)); }

// All ones in the first `count` lanes, 0 to 8.
static inline __m256i first_lanes(int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lanes);
}

// The first `count` lanes (all from 8 on), zeros behind them.
static inline __m256 load_first(const float* x, int64_t count) {
  return count >= kVector ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(count));
}

static inline void store_first(float* y, int64_t count, __m256 value) {
  // A masked store is many times as slow as a plain one on some processors.
  if (count >= kVector) {
    _mm256_storeu_ps(y, value);
  } else {
    _mm256_maskstore_ps(y, first_lanes(count), value);
  }
}

// See "exp(x), everywhere" in kernel_table.h. The operand order of max and min is that of the portable code.
static inline __m256 exp(__m256 x) {
  x = _mm256_max_ps(x, _mm256_set1_ps(-87.33654f));
  x = _mm256_min_ps(x, _mm256_set1_ps(88.0f));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0.693359375f), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
  p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

static inline __m256 negate(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }

static inline __m256 silu_gate(__m256 gate, __m256 up) {
  const __m256 denominator = _mm256_add_ps(_mm256_set1_ps(1.0f), exp(negate(gate)));
  return _mm256_mul_ps(_mm256_div_ps(gate, denominator), up);
}

static inline __m256 gelu_tanh_gate(__m256 gate, __m256 up) {
  const __m256 square = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.044715f), gate), gate);
  const __m256 t = _mm256_mul_ps(_mm256_set1_ps(0.7978845608f), _mm256_fmadd_ps(square, gate, gate));
  const __m256 denominator = _mm256_add_ps(_mm256_set1_ps(1.0f), exp(_mm256_mul_ps(_mm256_set1_ps(-2.0f), t)));
  return _mm256_mul_ps(_mm256_div_ps(gate, denominator), up);
}

// Lanes 0 to 7 and 8 to 15 of a reduction, folded 16 to 8 to 4 to 2 to 1.
static inline float fold_lanes(__m256 low, __m256 high) {
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float largest_lane(__m256 x) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline int32_t sum_lanes(__m256i x) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

// The factor 1 / rms(x) of RMSNorm. Zeros beyond the width leave their lanes as they are.
static inline float inverse_rms(const float* x, int64_t width, float eps) {
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  int64_t k = 0;
  for (; k + kLanes <= width; k += kLanes) {
    const __m256 a = _mm256_loadu_ps(x + k);
    const __m256 b = _mm256_loadu_ps(x + k + kVector);
    low = _mm256_fmadd_ps(a, a, low);
    high = _mm256_fmadd_ps(b, b, high);
  }
  if (k < width) {
    const __m256 a = load_first(x + k, width - k);
    low = _mm256_fmadd_ps(a, a, low);
  }
  if (k + kVector < width) {
    const __m256 b = load_first(x + k + kVector, width - k - kVector);
    high = _mm256_fmadd_ps(b, b, high);
  }
  return 1.0f / __builtin_sqrtf(fold_lanes(low, high) / static_cast<float>(width) + eps);
}

// y = (x * r) * weight; y may equal x.
static inline void scale_row(const float* x, float r, const float* weight, int64_t width, float* y) {
  const __m256 factor = _mm256_set1_ps(r);
  int64_t k = 0;
  for (; k + kVector <= width; k += kVector) {
    const __m256 value = _mm256_mul_ps(_mm256_loadu_ps(x + k), factor);
    _mm256_storeu_ps(y + k, _mm256_mul_ps(value, _mm256_loadu_ps(weight + k)));
  }
  for (; k < width; ++k) y[k] = (x[k] * r) * weight[k];
}

static inline __m256 f16_to_f32(const uint16_t* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

}  // namespace honed::avx2
