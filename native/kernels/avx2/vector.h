// Vectors of the AVX2 kernels: the operations that kernels/shared asks for, and pieces of the matmuls. Everything is local
// to the unit that includes it: no other unit may share these copies.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/shared/vector.h"

namespace honed::avx2 {
namespace {

inline constexpr int kVector = 8;  // floats of one register

// Pins a running sum to a register: left free, the compiler turns the chain of an unrolled loop into a tree and keeps
// every product of it on the stack.
inline void pin(__m256i& sum) { asm("" : "+x"(sum)); }

// All ones in the first `count` lanes, 0 to 8.
inline __m256i first_lanes(int64_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lanes);
}

inline __m256 f16_to_f32(const uint16_t* source) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
}

struct Vector {
  using Floats = __m256;
  using Ints = __m256i;
  using First = int64_t;  // how many: a branch on it is cheaper than a masked access
  using Lanes = __m256;
  static constexpr int kWidth = kVector;

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats all(float x) { return _mm256_set1_ps(x); }
  static Ints all_ints(int32_t x) { return _mm256_set1_epi32(x); }
  static Ints lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

  static First first(int64_t count) { return count; }
  static Floats load(const float* x, shared::Whole = {}) { return _mm256_loadu_ps(x); }
  static Floats load(const float* x, First count) {
    return count >= kWidth ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(count));
  }
  static void store(float* y, Floats x) { _mm256_storeu_ps(y, x); }
  static void store(float* y, shared::Whole, Floats x) { _mm256_storeu_ps(y, x); }
  static void store(float* y, First count, Floats x) {
    // A masked store is many times as slow as a plain one on some processors.
    if (count >= kWidth) _mm256_storeu_ps(y, x);
    else _mm256_maskstore_ps(y, first_lanes(count), x);
  }
  static void store_ints(int32_t* y, Ints x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), x); }

  static Floats widen(const float* cells) { return _mm256_loadu_ps(cells); }
  static Floats widen(const uint16_t* cells) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(cells)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static Floats upper_bf16(Floats a) {
    return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-0x10000)));
  }
  static Floats lower_bf16(Floats a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 16));
  }
  static Floats rounded_bf16(Floats a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    return upper_bf16(_mm256_castsi256_ps(rounded));
  }
  static Floats widen_f16(const uint16_t* source) { return f16_to_f32(source); }
  // Rounded to nearest even; not a number becomes quiet.
  static void store_bf16(uint16_t* place, Floats x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i cells = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
    const __m128i narrow = _mm_packus_epi32(_mm256_castsi256_si128(cells), _mm256_extracti128_si256(cells, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(place), narrow);
  }

  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
  static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats negate(Floats a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
  static Floats magnitude(Floats a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static Floats either(Floats a, Floats b) { return _mm256_or_ps(a, b); }
  static Floats both(Floats a, Floats b) { return _mm256_and_ps(a, b); }
  static Floats round(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Floats times_power_of_two(Floats a, Floats n) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), exponent));
  }

  static Lanes greater(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
  static Floats select(Lanes lanes, Floats a, Floats b) { return _mm256_blendv_ps(b, a, lanes); }
  static Ints select(Lanes lanes, Ints a, Ints b) { return _mm256_blendv_epi8(b, a, _mm256_castps_si256(lanes)); }
  // Most vectors are inside entirely.
  static Floats within(int64_t at, int64_t first, int64_t end, Floats a, Floats b) {
    if (at >= first && at + kWidth <= end) return a;
    const __m256i numbers = _mm256_add_epi32(all_ints(static_cast<int32_t>(at)), lane_numbers());
    const __m256i from_first = _mm256_cmpgt_epi32(numbers, all_ints(static_cast<int32_t>(first - 1)));
    const __m256i before_end = _mm256_cmpgt_epi32(all_ints(static_cast<int32_t>(end)), numbers);
    return select(_mm256_castsi256_ps(_mm256_and_si256(from_first, before_end)), a, b);
  }
  static Ints within(int64_t at, int64_t first, int64_t end, Ints a, Ints b) {
    return _mm256_castps_si256(within(at, first, end, _mm256_castsi256_ps(a), _mm256_castsi256_ps(b)));
  }

  static float first_lane(Floats a) { return _mm256_cvtss_f32(a); }
  static float fold(const Floats (&lanes)[kLanes / kWidth]) {
    const __m256 eight = _mm256_add_ps(lanes[0], lanes[1]);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float largest(Floats a) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  static Ints to_ints(Floats a) { return _mm256_cvtps_epi32(a); }
  static Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints first_of(First count, Ints a) { return _mm256_and_si256(a, first_lanes(count)); }
  static int32_t store_bytes(int8_t* place, const Ints (&block)[kBlock / kWidth]) {
    const __m256i low = _mm256_packs_epi32(block[0], block[1]);
    const __m256i high = _mm256_packs_epi32(block[2], block[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(place), bytes);
    const __m256i eight = _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1));
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
  }
};

}  // namespace
}  // namespace honed::avx2
