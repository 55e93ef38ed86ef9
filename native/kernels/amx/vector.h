// Vector pieces of the AMX kernels, in AVX-512. Everything is static: no other unit may share these copies.
#pragma once

// GCC 12 takes the undefined operands inside its own intrinsics for reads of uninitialized variables (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::amx {

inline constexpr int kVector = 16;  // floats of one register

// The first `count` lanes; none for a negative count, all from 16 on.
static inline __mmask16 first_lanes(int64_t count) {
  if (count >= kVector) return 0xffff;
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1u);
}

// See "exp(x), everywhere" in kernel_table.h. The operand order of max and min is that of the portable code.
static inline __m512 exp(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-87.33654f));
  x = _mm512_min_ps(x, _mm512_set1_ps(88.0f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

static inline __m512 silu_gate(__m512 gate, __m512 up) {
  const __m512 negative = _mm512_xor_ps(gate, _mm512_set1_ps(-0.0f));
  const __m512 denominator = _mm512_add_ps(_mm512_set1_ps(1.0f), exp(negative));
  return _mm512_mul_ps(_mm512_div_ps(gate, denominator), up);
}

static inline __m512 gelu_tanh_gate(__m512 gate, __m512 up) {
  const __m512 square = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.044715f), gate), gate);
  const __m512 t = _mm512_mul_ps(_mm512_set1_ps(0.7978845608f), _mm512_fmadd_ps(square, gate, gate));
  const __m512 denominator = _mm512_add_ps(_mm512_set1_ps(1.0f), exp(_mm512_mul_ps(_mm512_set1_ps(-2.0f), t)));
  return _mm512_mul_ps(_mm512_div_ps(gate, denominator), up);
}

static inline __m512 f16_to_f32(const void* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(source)));
}

}  // namespace honed::amx
