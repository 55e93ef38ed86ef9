// A stand-in for the compiler's <immintrin.h> that computes the intrinsics of kernels/avx512vnni and kernels/amx lane
// by lane, after the pseudocode of Intel's Software Developer's Manual, so that those kernels run on any machine.
// Put this folder before the system's include path and compile without instruction set flags.
//
// It proves the logic and the order of operations, not the code that a compiler makes of the real intrinsics. Only
// what the kernels use is here and in registers.h: a kernel that uses more does not compile, and its intrinsic is added.
#pragma once

#include "tests/emulation/registers.h"

// ---- float -------------------------------------------------------------------------------------------------------

static inline float emulated_plus(float a, float b) { return a + b; }
// MAXPS and MINPS return the second operand where the comparison fails, also for not a number and for two zeros.
static inline float emulated_max(float a, float b) { return a > b ? a : b; }
static inline float emulated_min(float a, float b) { return a < b ? a : b; }

static inline __m512 _mm512_add_ps(__m512 a, __m512 b) { return emulated::zip(a, b, emulated_plus); }
static inline __m256 _mm256_add_ps(__m256 a, __m256 b) { return emulated::zip(a, b, emulated_plus); }
static inline __m128 _mm_add_ps(__m128 a, __m128 b) { return emulated::zip(a, b, emulated_plus); }
static inline __m128 _mm_add_ss(__m128 a, __m128 b) {
  a.lane[0] = a.lane[0] + b.lane[0];
  return a;
}
static inline __m512 _mm512_sub_ps(__m512 a, __m512 b) {
  return emulated::zip(a, b, [](float x, float y) { return x - y; });
}
static inline __m512 _mm512_mul_ps(__m512 a, __m512 b) {
  return emulated::zip(a, b, [](float x, float y) { return x * y; });
}
static inline __m512 _mm512_div_ps(__m512 a, __m512 b) {
  return emulated::zip(a, b, [](float x, float y) { return x / y; });
}
static inline __m512 _mm512_max_ps(__m512 a, __m512 b) { return emulated::zip(a, b, emulated_max); }
static inline __m512 _mm512_min_ps(__m512 a, __m512 b) { return emulated::zip(a, b, emulated_min); }

static inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  for (int i = 0; i < 16; ++i) c.lane[i] = std::fmaf(a.lane[i], b.lane[i], c.lane[i]);
  return c;
}

static inline __m512 _mm512_maskz_mul_ps(__mmask16 mask, __m512 a, __m512 b) {
  __m512 result{};
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) result.lane[i] = a.lane[i] * b.lane[i];
  }
  return result;
}

static inline __m512 _mm512_maskz_div_ps(__mmask16 mask, __m512 a, __m512 b) {
  __m512 result{};
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) result.lane[i] = a.lane[i] / b.lane[i];
  }
  return result;
}

static inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) {
  for (int i = 0; i < 16; ++i) c.lane[i] = std::fmaf(-a.lane[i], b.lane[i], c.lane[i]);
  return c;
}

static inline __m512 _mm512_mask_max_ps(__m512 source, __mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) source.lane[i] = emulated_max(a.lane[i], b.lane[i]);
  }
  return source;
}

static inline __m512 _mm512_mask_add_ps(__m512 source, __mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) source.lane[i] = a.lane[i] + b.lane[i];
  }
  return source;
}

static inline float _mm512_reduce_max_ps(__m512 a) {
  float result = a.lane[0];
  for (const float lane : a.lane) result = emulated_max(lane, result);
  return result;
}

// Whole numbers to nearest even: the only form that the kernels use.
static inline __m512 _mm512_roundscale_ps(__m512 a, int control) {
  for (float& lane : a.lane) lane = (control & 0xf7) == 0 ? std::nearbyintf(lane) : NAN;
  return a;
}

static inline __m512 _mm512_or_ps(__m512 a, __m512 b) {
  return emulated::cast<__m512>(emulated::zip_ints(emulated::cast<__m512i>(a), emulated::cast<__m512i>(b),
                                                   [](int32_t x, int32_t y) { return x | y; }));
}

static inline __m512 _mm512_and_ps(__m512 a, __m512 b) {
  return emulated::cast<__m512>(emulated::zip_ints(emulated::cast<__m512i>(a), emulated::cast<__m512i>(b),
                                                   [](int32_t x, int32_t y) { return x & y; }));
}

static inline __m512 _mm512_xor_ps(__m512 a, __m512 b) {
  return emulated::cast<__m512>(emulated::zip_ints(emulated::cast<__m512i>(a), emulated::cast<__m512i>(b),
                                                   [](int32_t x, int32_t y) { return x ^ y; }));
}

static inline __m512 _mm512_andnot_ps(__m512 a, __m512 b) {
  return emulated::cast<__m512>(emulated::zip_ints(emulated::cast<__m512i>(a), emulated::cast<__m512i>(b),
                                                   [](int32_t x, int32_t y) { return ~x & y; }));
}

// ---- integer -----------------------------------------------------------------------------------------------------

static inline int32_t emulated_wrap(int64_t x) { return static_cast<int32_t>(static_cast<uint32_t>(x)); }

static inline __m512i _mm512_add_epi32(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return emulated_wrap(int64_t{x} + y); });
}
static inline __m512i _mm512_sub_epi8(__m512i a, __m512i b) {
  return emulated::zip(a, b, [](uint8_t x, uint8_t y) { return static_cast<uint8_t>(x - y); });
}
static inline __m512i _mm512_sub_epi32(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return emulated_wrap(int64_t{x} - y); });
}
static inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) {
    const int64_t low = int64_t{static_cast<int16_t>(x & 0xffff)} * static_cast<int16_t>(y & 0xffff);
    return emulated_wrap(low + int64_t{x >> 16} * (y >> 16));
  });
}
static inline __m512i _mm512_and_si512(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return x & y; });
}
static inline __m512i _mm512_xor_si512(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return x ^ y; });
}
static inline __m512i _mm512_add_epi64(__m512i a, __m512i b) {
  return emulated::cast<__m512i>(emulated::zip(emulated::cast<emulated::Longs>(a), emulated::cast<emulated::Longs>(b),
                                               [](uint64_t x, uint64_t y) { return x + y; }));
}

static inline __m512i _mm512_slli_epi32(__m512i a, unsigned count) {
  return emulated::zip_ints(a, a, [count](int32_t x, int32_t) {
    return emulated_wrap(int64_t{static_cast<uint32_t>(x) << count});
  });
}

static inline __m512i _mm512_srli_epi32(__m512i a, unsigned count) {
  return emulated::zip_ints(a, a, [count](int32_t x, int32_t) {
    return static_cast<int32_t>(static_cast<uint32_t>(x) >> count);
  });
}

static inline __m512i _mm512_srai_epi32(__m512i a, unsigned count) {
  return emulated::zip_ints(a, a, [count](int32_t x, int32_t) { return x >> count; });
}

static inline __m512i _mm512_srli_epi16(__m512i a, unsigned count) {
  auto halves = emulated::cast<emulated::Halves>(a);
  for (uint16_t& lane : halves.lane) lane = static_cast<uint16_t>(lane >> count);
  return emulated::cast<__m512i>(halves);
}

static inline int32_t _mm512_reduce_add_epi32(__m512i a) {
  int64_t sum = 0;
  for (const int32_t lane : emulated::cast<emulated::Ints>(a).lane) sum += lane;
  return emulated_wrap(sum);
}

// Only the predicate that the kernels use: greater, ordered, quiet.
#define _CMP_GT_OQ 30
static inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int) {
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (a.lane[i] > b.lane[i] ? 1u : 0u) << i;
  return static_cast<__mmask16>(mask);
}

static inline __m512 _mm512_mask_mov_ps(__m512 source, __mmask16 mask, __m512 a) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) source.lane[i] = a.lane[i];
  }
  return source;
}

static inline __m512i _mm512_mask_mov_epi32(__m512i source, __mmask16 mask, __m512i a) {
  auto result = emulated::cast<emulated::Ints>(source);
  const auto x = emulated::cast<emulated::Ints>(a);
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) result.lane[i] = x.lane[i];
  }
  return emulated::cast<__m512i>(result);
}

// VPDPBUSD: four products of an unsigned byte of `a` and a signed byte of `b`, added without saturation.
static inline __m512i _mm512_dpbusd_epi32(__m512i source, __m512i a, __m512i b) {
  auto sums = emulated::cast<emulated::Ints>(source);
  for (int i = 0; i < 16; ++i) {
    int64_t sum = sums.lane[i];
    for (int j = 0; j < 4; ++j) sum += int32_t{a.lane[i * 4 + j]} * static_cast<int8_t>(b.lane[i * 4 + j]);
    sums.lane[i] = emulated_wrap(sum);
  }
  return emulated::cast<__m512i>(sums);
}

// VDPBF16PS: of each lane the products of the odd elements, then those of the even ones, each added with one rounding;
// whatever the mode, denormals are zeros before and after each.
static inline float emulated_flush(float x) {
  return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x;
}
static inline __m512 _mm512_dpbf16_ps(__m512 source, __m512bh a, __m512bh b) {
  const auto x = emulated::cast<emulated::Halves>(a);
  const auto y = emulated::cast<emulated::Halves>(b);
  const auto widened = [](uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return emulated_flush(value);
  };
  for (int i = 0; i < 16; ++i) {
    for (int element = 2 * i + 1; element >= 2 * i; --element) {
      const float sum = emulated_flush(source.lane[i]);
      source.lane[i] = emulated_flush(std::fmaf(widened(x.lane[element]), widened(y.lane[element]), sum));
    }
  }
  return source;
}

static inline __m256i _mm256_dpbusd_epi32(__m256i source, __m256i a, __m256i b) {
  auto sums = emulated::cast<EmulatedRegister<int32_t, 8>>(source);
  for (int i = 0; i < 8; ++i) {
    int64_t sum = sums.lane[i];
    for (int j = 0; j < 4; ++j) sum += int32_t{a.lane[i * 4 + j]} * static_cast<int8_t>(b.lane[i * 4 + j]);
    sums.lane[i] = emulated_wrap(sum);
  }
  return emulated::cast<__m256i>(sums);
}

// VPHADDD: in each half the sums of neighbours, first those of `a`, then those of `b`.
static inline __m256i _mm256_hadd_epi32(__m256i a, __m256i b) {
  using Eight = EmulatedRegister<int32_t, 8>;
  const auto x = emulated::cast<Eight>(a);
  const auto y = emulated::cast<Eight>(b);
  Eight result;
  for (int i = 0; i < 8; i += 4) {
    result.lane[i] = emulated_wrap(int64_t{x.lane[i]} + x.lane[i + 1]);
    result.lane[i + 1] = emulated_wrap(int64_t{x.lane[i + 2]} + x.lane[i + 3]);
    result.lane[i + 2] = emulated_wrap(int64_t{y.lane[i]} + y.lane[i + 1]);
    result.lane[i + 3] = emulated_wrap(int64_t{y.lane[i + 2]} + y.lane[i + 3]);
  }
  return emulated::cast<__m256i>(result);
}

// ---- conversions -------------------------------------------------------------------------------------------------

static inline __m512 _mm512_cvtepi32_ps(__m512i a) {
  __m512 result;
  const auto ints = emulated::cast<emulated::Ints>(a);
  for (int i = 0; i < 16; ++i) result.lane[i] = static_cast<float>(ints.lane[i]);
  return result;
}

static inline __m512i _mm512_cvtps_epi32(__m512 a) {
  emulated::Ints result;
  for (int i = 0; i < 16; ++i) result.lane[i] = emulated::to_int(a.lane[i]);
  return emulated::cast<__m512i>(result);
}

static inline __m512i _mm512_maskz_cvtps_epi32(__mmask16 mask, __m512 a) {
  return _mm512_maskz_mov_epi32(mask, _mm512_cvtps_epi32(a));
}

static inline __m512 _mm512_cvtph_ps(__m256i a) {
  __m512 result;
  const auto halves = emulated::cast<EmulatedRegister<uint16_t, 16>>(a);
  for (int i = 0; i < 16; ++i) result.lane[i] = emulated::from_half(halves.lane[i]);
  return result;
}

static inline __m512i _mm512_cvtepu16_epi32(__m256i a) {
  emulated::Ints result;
  const auto halves = emulated::cast<EmulatedRegister<uint16_t, 16>>(a);
  for (int i = 0; i < 16; ++i) result.lane[i] = halves.lane[i];
  return emulated::cast<__m512i>(result);
}

static inline __m512i _mm512_cvtepu8_epi32(__m128i a) {
  emulated::Ints result;
  for (int i = 0; i < 16; ++i) result.lane[i] = a.lane[i];
  return emulated::cast<__m512i>(result);
}

static inline __m512i _mm512_cvtepi8_epi32(__m128i a) {
  emulated::Ints result;
  for (int i = 0; i < 16; ++i) result.lane[i] = static_cast<int8_t>(a.lane[i]);
  return emulated::cast<__m512i>(result);
}

// Both truncate: VPMOVDW and VPMOVWB, not the saturating ones.
static inline __m256i _mm512_cvtepi32_epi16(__m512i a) {
  EmulatedRegister<uint16_t, 16> result;
  const auto ints = emulated::cast<emulated::Ints>(a);
  for (int i = 0; i < 16; ++i) result.lane[i] = static_cast<uint16_t>(ints.lane[i]);
  return emulated::cast<__m256i>(result);
}
static inline __m256i _mm512_cvtepi16_epi8(__m512i a) {
  __m256i result;
  for (int i = 0; i < 32; ++i) result.lane[i] = a.lane[i * 2];
  return result;
}

// Truncates; VPMOVDB, not the saturating VPMOVSDB.
static inline __m128i _mm512_cvtepi32_epi8(__m512i a) {
  __m128i result;
  const auto ints = emulated::cast<emulated::Ints>(a);
  for (int i = 0; i < 16; ++i) result.lane[i] = static_cast<uint8_t>(ints.lane[i]);
  return result;
}
