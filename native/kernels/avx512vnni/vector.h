// Vector pieces of the AVX-512 kernels. Everything is static: no other unit may share these copies.
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
#include <cstring>

#include "cpu/kernel_table.h"

namespace honed::avx512vnni {

inline constexpr int kVector = 16;  // floats of one register

// The first `count` lanes; none for a negative count, all from 16 on.
static inline __mmask16 first_lanes(int64_t count) {
  if (count >= kVector) return 0xffff;
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1u);
}

// Of the sixteen places from `at` on those in [first, end).
static inline __mmask16 lanes_within(int64_t at, int64_t first, int64_t end) {
  if (at >= first && at + kVector <= end) return __mmask16{0xffff};
  return static_cast<__mmask16>(first_lanes(end - at) & ~first_lanes(first - at));
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

// l[i] + l[i + half], 16 to 8 to 4 to 2 to 1. Spelled out: the order of _mm512_reduce_add_ps is the compiler's.
static inline float fold_lanes(__m512 x) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline __m512 f16_to_f32(const void* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(source)));
}

static inline __m512 bf16_to_f32(const uint16_t* source) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

// Four consecutive int8 activations in every 32-bit lane.
static inline __m512i broadcast_quad(const int8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, sizeof quad);
  return _mm512_set1_epi32(quad);
}

// Calls body.operator()<Count>(first) over [begin, end): blocks of `Most`, then one block of what is left.
template <int Most, typename Body>
static inline void for_blocks(int64_t begin, int64_t end, const Body& body) {
  for (; begin + Most <= end; begin += Most) body.template operator()<Most>(begin);
  if constexpr (Most > 1) {
    if (begin < end) for_blocks<Most - 1>(begin, end, body);
  }
}

// Which cache lines of the next panel a block of rows asks for while it computes.
enum class Ahead : int { none = 0, even = 1, odd = 2, all = 3 };

// The same for rows that go over one panel of weights; calls body.operator()<Count, Ahead>(first). What is left over
// comes first, and the full blocks, whose arithmetic takes longest, ask for the next panel on the side: one for all of
// it or two for half each. Prefetches are dropped where they come too close together, those of a small block would, and
// a line that is missed undoes the gain (docs/measurements.md).
template <int Most, typename Body>
static inline void for_blocks_streaming(int64_t begin, int64_t end, const Body& body) {
  constexpr int kMostUnaided = 4;  // rows that the processor's own prefetches keep fed
  const int64_t full = begin + (end - begin) % Most;
  for_blocks<Most>(begin, full, [&]<int Count>(int64_t first) {
    if constexpr (Count > kMostUnaided) {
      if (full == end) return body.template operator()<Count, Ahead::all>(first);
    }
    body.template operator()<Count, Ahead::none>(first);
  });
  if (end - full == Most) return body.template operator()<Most, Ahead::all>(full);
  for (int64_t first = full; first < end; first += Most) {
    if (first == full) body.template operator()<Most, Ahead::even>(first);
    else if (first == full + Most) body.template operator()<Most, Ahead::odd>(first);
    else body.template operator()<Most, Ahead::none>(first);
  }
}

// always_inline: gcc takes a call that only prefetches for one without effect, and drops it.
template <Ahead Lines>
[[gnu::always_inline]] static inline void prefetch_even(const void* line) {
  if constexpr (Lines == Ahead::even || Lines == Ahead::all) _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

template <Ahead Lines>
[[gnu::always_inline]] static inline void prefetch_odd(const void* line) {
  if constexpr (Lines == Ahead::odd || Lines == Ahead::all) _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

}  // namespace honed::avx512vnni
