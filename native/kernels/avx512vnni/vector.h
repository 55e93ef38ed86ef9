// Vectors of the AVX-512 kernels: the operations that kernels/shared asks for, and pieces of the matmuls. Everything is
// local to the unit that includes it: no other unit may share these copies.
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

#include "kernels/shared/vector.h"

namespace honed::avx512vnni {
namespace {

inline constexpr int kVector = 16;  // floats of one register

// The first `count` lanes; none for a negative count, all from 16 on.
inline __mmask16 first_lanes(int64_t count) {
  if (count >= kVector) return 0xffff;
  return count <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << count) - 1u);
}

// Of the sixteen places from `at` on those in [first, end).
inline __mmask16 lanes_within(int64_t at, int64_t first, int64_t end) {
  if (at >= first && at + kVector <= end) return __mmask16{0xffff};
  return static_cast<__mmask16>(first_lanes(end - at) & ~first_lanes(first - at));
}

inline __m512 f16_to_f32(const void* source) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(source)));
}

inline __m512 bf16_to_f32(const uint16_t* source) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

struct Vector {
  using Floats = __m512;
  using Ints = __m512i;
  using First = __mmask16;
  using Lanes = __mmask16;
  static constexpr int kWidth = kVector;

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats all(float x) { return _mm512_set1_ps(x); }
  static Ints all_ints(int32_t x) { return _mm512_set1_epi32(x); }
  static Ints lane_numbers() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

  static First first(int64_t count) { return first_lanes(count); }
  static Floats load(const float* x, shared::Whole = {}) { return _mm512_loadu_ps(x); }
  static Floats load(const float* x, First lanes) { return _mm512_maskz_loadu_ps(lanes, x); }
  static void store(float* y, Floats x) { _mm512_storeu_ps(y, x); }
  static void store(float* y, shared::Whole, Floats x) { _mm512_storeu_ps(y, x); }
  static void store(float* y, First lanes, Floats x) { _mm512_mask_storeu_ps(y, lanes, x); }
  static void store_ints(int32_t* y, Ints x) { _mm512_storeu_si512(y, x); }

  static Floats widen(const float* cells) { return _mm512_loadu_ps(cells); }
  static Floats widen(const uint16_t* cells) { return bf16_to_f32(cells); }
  static Floats upper_bf16(Floats a) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(-0x10000)));
  }
  static Floats lower_bf16(Floats a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 16));
  }
  static Floats rounded_bf16(Floats a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    return upper_bf16(_mm512_castsi512_ps(rounded));
  }

  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats negate(Floats a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
  static Floats magnitude(Floats a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
  static Floats either(Floats a, Floats b) { return _mm512_or_ps(a, b); }
  static Floats both(Floats a, Floats b) { return _mm512_and_ps(a, b); }
  static Floats round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Floats times_power_of_two(Floats a, Floats n) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), exponent));
  }

  static Lanes greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static Floats select(Lanes lanes, Floats a, Floats b) { return _mm512_mask_mov_ps(b, lanes, a); }
  static Ints select(Lanes lanes, Ints a, Ints b) { return _mm512_mask_mov_epi32(b, lanes, a); }
  static Floats within(int64_t at, int64_t first, int64_t end, Floats a, Floats b) {
    return select(lanes_within(at, first, end), a, b);
  }
  static Ints within(int64_t at, int64_t first, int64_t end, Ints a, Ints b) {
    return select(lanes_within(at, first, end), a, b);
  }

  static float first_lane(Floats a) { return _mm512_cvtss_f32(a); }
  // Spelled out: the order of _mm512_reduce_add_ps is the compiler's.
  static float fold(const Floats (&lanes)[1]) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes[0]), _mm512_extractf32x8_ps(lanes[0], 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Floats a) { return _mm512_reduce_max_ps(a); }

  static Ints to_ints(Floats a) { return _mm512_cvtps_epi32(a); }
  static Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints first_of(First lanes, Ints a) { return _mm512_maskz_mov_epi32(lanes, a); }
  static int32_t store_bytes(int8_t* place, const Ints (&block)[kBlock / kWidth]) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(place), _mm512_cvtepi32_epi8(block[0]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(place + kWidth), _mm512_cvtepi32_epi8(block[1]));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(block[0], block[1]));
  }
};

// Four consecutive int8 activations in every 32-bit lane.
inline __m512i broadcast_quad(const int8_t* x) {
  int32_t quad;
  std::memcpy(&quad, x, sizeof quad);
  return _mm512_set1_epi32(quad);
}

using shared::for_blocks;

// Which cache lines of the next panel a block of rows asks for while it computes.
enum class Ahead : int { none = 0, even = 1, odd = 2, all = 3 };

// The same for rows that go over one panel of weights; calls body.operator()<Count, Ahead>(first). What is left over
// comes first, and the full blocks, whose arithmetic takes longest, ask for the next panel on the side: one for all of
// it or two for half each. Prefetches are dropped where they come too close together, those of a small block would, and
// a line that is missed undoes the gain (docs/measurements/kernels-avx512.md).
template <int Most, typename Body>
inline void for_blocks_streaming(int64_t begin, int64_t end, const Body& body) {
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
[[gnu::always_inline]] inline void prefetch_even(const void* line) {
  if constexpr (Lines == Ahead::even || Lines == Ahead::all) _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

template <Ahead Lines>
[[gnu::always_inline]] inline void prefetch_odd(const void* line) {
  if constexpr (Lines == Ahead::odd || Lines == Ahead::all) _mm_prefetch(static_cast<const char*>(line), _MM_HINT_T1);
}

}  // namespace
}  // namespace honed::avx512vnni
