// A stand-in for the compiler's <immintrin.h> that computes the intrinsics of kernels/avx512vnni and kernels/amx lane
// by lane, after the pseudocode of Intel's Software Developer's Manual, so that those kernels run on any machine.
// Put this folder before the system's include path and compile without instruction set flags.
//
// It proves the logic and the order of operations, not the code that a compiler makes of the real intrinsics. Only
// what the kernels use is here: a kernel that uses more does not compile, and its intrinsic is added below.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/emulation/tiles.h"

template <typename Lane, int Lanes>
struct EmulatedRegister {
  Lane lane[Lanes];
};

using __m512 = EmulatedRegister<float, 16>;
using __m256 = EmulatedRegister<float, 8>;
using __m128 = EmulatedRegister<float, 4>;
using __m512i = EmulatedRegister<uint8_t, 64>;
using __m256i = EmulatedRegister<uint8_t, 32>;
using __m128i = EmulatedRegister<uint8_t, 16>;
using __v16si = __m512i;
using __mmask16 = uint16_t;

enum { _MM_FROUND_TO_NEAREST_INT = 0, _MM_FROUND_NO_EXC = 8 };
enum { _MM_HINT_T0 = 3, _MM_HINT_T1 = 2 };

namespace emulated {

// The same bits as another type.
template <typename To, typename From>
static inline To cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

using Ints = EmulatedRegister<int32_t, 16>;
using Halves = EmulatedRegister<uint16_t, 32>;
using Longs = EmulatedRegister<uint64_t, 8>;

template <typename Register>
static inline Register load(const void* source) {
  Register value;
  std::memcpy(&value, source, sizeof value);
  return value;
}

// #GP where the operand does not lie on 64 bytes.
static inline void require_alignment(const void* operand) {
  if (reinterpret_cast<uintptr_t>(operand) % 64 != 0) fault("#GP: an aligned access to an operand that is not");
}

template <typename Register>
static inline Register load_aligned(const void* source) {
  require_alignment(source);
  return load<Register>(source);
}

template <typename Register>
static inline void store_aligned(void* place, const Register& value) {
  require_alignment(place);
  std::memcpy(place, &value, sizeof value);
}

template <typename Register, typename Operation>
static inline Register zip(const Register& a, const Register& b, Operation operation) {
  Register result;
  for (std::size_t i = 0; i < sizeof(a.lane) / sizeof(a.lane[0]); ++i) {
    result.lane[i] = operation(a.lane[i], b.lane[i]);
  }
  return result;
}

template <typename Operation>
static inline __m512i zip_ints(const __m512i& a, const __m512i& b, Operation operation) {
  return cast<__m512i>(zip(cast<Ints>(a), cast<Ints>(b), operation));
}

static inline bool bit(__mmask16 mask, int i) { return ((mask >> i) & 1) != 0; }

// CVTPS2DQ with round to nearest even; what does not fit becomes the integer indefinite value.
static inline int32_t to_int(float x) {
  const float rounded = std::nearbyintf(x);
  if (!(rounded >= -2147483648.0f && rounded < 2147483648.0f)) return INT32_MIN;
  return static_cast<int32_t>(rounded);
}

static inline float from_half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  float magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  if (exponent == 0) magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  if (exponent == 31) magnitude = mantissa == 0 ? INFINITY : NAN;
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace emulated

// ---- moving ------------------------------------------------------------------------------------------------------

static inline void _mm_prefetch(const void*, int) {}
static inline __m512 _mm512_loadu_ps(const void* p) { return emulated::load<__m512>(p); }
static inline __m512i _mm512_loadu_si512(const void* p) { return emulated::load<__m512i>(p); }
static inline __m512 _mm512_load_ps(const void* p) { return emulated::load_aligned<__m512>(p); }
static inline __m512i _mm512_load_si512(const void* p) { return emulated::load_aligned<__m512i>(p); }
static inline __m256i _mm256_loadu_si256(const __m256i* p) { return emulated::load<__m256i>(p); }
static inline __m128i _mm_loadu_si128(const __m128i* p) { return emulated::load<__m128i>(p); }
static inline void _mm512_storeu_ps(void* p, __m512 a) { std::memcpy(p, &a, sizeof a); }
static inline void _mm512_store_ps(void* p, __m512 a) { emulated::store_aligned(p, a); }
static inline void _mm512_store_si512(void* p, __m512i a) { emulated::store_aligned(p, a); }
static inline void _mm256_storeu_si256(__m256i* p, __m256i a) { std::memcpy(static_cast<void*>(p), &a, sizeof a); }
static inline void _mm256_store_si256(__m256i* p, __m256i a) {
  if (reinterpret_cast<uintptr_t>(p) % 32 != 0) emulated::fault("#GP: an aligned access to an operand that is not");
  _mm256_storeu_si256(p, a);
}
static inline void _mm_store_si128(__m128i* p, __m128i a) {
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) emulated::fault("#GP: an aligned access to an operand that is not");
  std::memcpy(static_cast<void*>(p), &a, sizeof a);
}
static inline void _mm_storeu_si128(__m128i* p, __m128i a) { std::memcpy(static_cast<void*>(p), &a, sizeof a); }

static inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void* p) {
  __m512 result{};
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) std::memcpy(&result.lane[i], static_cast<const char*>(p) + i * 4, 4);
  }
  return result;
}

static inline __m512 _mm512_mask_loadu_ps(__m512 source, __mmask16 mask, const void* p) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) std::memcpy(&source.lane[i], static_cast<const char*>(p) + i * 4, 4);
  }
  return source;
}

static inline __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void* p) {
  __m256i result{};
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) std::memcpy(&result.lane[i * 2], static_cast<const char*>(p) + i * 2, 2);
  }
  return result;
}

static inline __m512i _mm512_maskz_loadu_epi32(__mmask16 mask, const void* p) {
  return emulated::cast<__m512i>(_mm512_maskz_loadu_ps(mask, p));
}

static inline void _mm512_mask_storeu_ps(void* p, __mmask16 mask, __m512 a) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) std::memcpy(static_cast<char*>(p) + i * 4, &a.lane[i], 4);
  }
}

static inline void _mm512_mask_storeu_epi32(void* p, __mmask16 mask, __m512i a) {
  _mm512_mask_storeu_ps(p, mask, emulated::cast<__m512>(a));
}

static inline void _mm256_mask_storeu_epi16(void* p, __mmask16 mask, __m256i a) {
  for (int i = 0; i < 16; ++i) {
    if (emulated::bit(mask, i)) std::memcpy(static_cast<char*>(p) + i * 2, &a.lane[i * 2], 2);
  }
}

static inline __m512 _mm512_setzero_ps() { return {}; }
static inline __m512i _mm512_setzero_si512() { return {}; }

static inline __m512 _mm512_set1_ps(float x) {
  __m512 result;
  for (float& lane : result.lane) lane = x;
  return result;
}

static inline __m512i _mm512_set1_epi32(int32_t x) {
  emulated::Ints result;
  for (int32_t& lane : result.lane) lane = x;
  return emulated::cast<__m512i>(result);
}

static inline __m512i _mm512_set1_epi16(short x) {
  emulated::Halves result;
  for (uint16_t& lane : result.lane) lane = static_cast<uint16_t>(x);
  return emulated::cast<__m512i>(result);
}

template <typename... Lane>
static inline __m512i _mm512_setr_epi32(Lane... lanes) {
  return emulated::cast<__m512i>(emulated::Ints{{lanes...}});
}

static inline __m512i _mm512_set1_epi8(signed char x) {
  __m512i result;
  for (uint8_t& lane : result.lane) lane = static_cast<uint8_t>(x);
  return result;
}

static inline __m256i _mm256_setzero_si256() { return {}; }

static inline __m256i _mm256_set1_epi8(signed char x) {
  __m256i result;
  for (uint8_t& lane : result.lane) lane = static_cast<uint8_t>(x);
  return result;
}

static inline __m512i _mm512_broadcastd_epi32(__m128i a) {
  return _mm512_set1_epi32(emulated::cast<EmulatedRegister<int32_t, 4>>(a).lane[0]);
}

// VPSHUFB: within each 16 bytes, a byte of `a` by the low four bits of `b`, or zero where the top bit of `b` is set.
static inline __m512i _mm512_shuffle_epi8(__m512i a, __m512i b) {
  __m512i result;
  for (int i = 0; i < 64; ++i) {
    result.lane[i] = (b.lane[i] & 0x80) != 0 ? uint8_t{0} : a.lane[i / 16 * 16 + (b.lane[i] & 15)];
  }
  return result;
}

static inline __m512i _mm512_broadcast_i32x4(__m128i a) {
  __m512i result;
  for (int i = 0; i < 64; ++i) result.lane[i] = a.lane[i % 16];
  return result;
}

// The quarters of the result: two of `a`, then two of `b`.
static inline __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int choice) {
  __m512i result;
  for (int quarter = 0; quarter < 4; ++quarter) {
    const __m512i& from = quarter < 2 ? a : b;
    std::memcpy(result.lane + quarter * 16, from.lane + (choice >> (2 * quarter) & 3) * 16, 16);
  }
  return result;
}

enum _MM_PERM_ENUM { _MM_PERM_BADC = 0x4e };
static inline __m512i _mm512_shuffle_epi32(__m512i a, _MM_PERM_ENUM choice) {
  __m512i result;
  for (int i = 0; i < 16; ++i) {
    std::memcpy(result.lane + i * 4, a.lane + (i / 4 * 4 + (choice >> (2 * (i % 4)) & 3)) * 4, 4);
  }
  return result;
}

static inline __m512i emulated_unpack(const __m512i& a, const __m512i& b, int first) {
  __m512i result;
  for (int i = 0; i < 16; ++i) {
    const __m512i& from = i % 2 == 0 ? a : b;
    std::memcpy(result.lane + i * 4, from.lane + (i / 4 * 4 + first + i % 4 / 2) * 4, 4);
  }
  return result;
}
static inline __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b) { return emulated_unpack(a, b, 0); }
static inline __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b) { return emulated_unpack(a, b, 2); }

static inline __m512i _mm512_permutexvar_epi32(__m512i order, __m512i a) {
  __m512i result;
  const auto index = emulated::cast<emulated::Ints>(order);
  for (int i = 0; i < 16; ++i) std::memcpy(result.lane + i * 4, a.lane + (index.lane[i] & 15) * 4, 4);
  return result;
}

static inline __m512i _mm512_castsi256_si512(__m256i a) {
  __m512i result{};
  std::memcpy(result.lane, a.lane, sizeof a);
  return result;
}
static inline __m512i _mm512_inserti64x4(__m512i a, __m256i b, int half) {
  std::memcpy(a.lane + half * 32, b.lane, sizeof b);
  return a;
}
static inline __m128i _mm256_castsi256_si128(__m256i a) { return emulated::load<__m128i>(a.lane); }
static inline __m128i _mm256_extracti128_si256(__m256i a, int half) {
  return emulated::load<__m128i>(a.lane + half * 16);
}
static inline __m512 _mm512_castsi512_ps(__m512i a) { return emulated::cast<__m512>(a); }
static inline __m512i _mm512_castps_si512(__m512 a) { return emulated::cast<__m512i>(a); }
static inline __m256 _mm512_castps512_ps256(__m512 a) { return emulated::load<__m256>(a.lane); }
static inline __m256 _mm512_extractf32x8_ps(__m512 a, int half) { return emulated::load<__m256>(a.lane + half * 8); }
static inline __m128 _mm256_castps256_ps128(__m256 a) { return emulated::load<__m128>(a.lane); }
static inline __m128 _mm256_extractf128_ps(__m256 a, int half) { return emulated::load<__m128>(a.lane + half * 4); }
static inline __m128 _mm_movehl_ps(__m128 a, __m128 b) { return {{b.lane[2], b.lane[3], a.lane[2], a.lane[3]}}; }
static inline __m128 _mm_movehdup_ps(__m128 a) { return {{a.lane[1], a.lane[1], a.lane[3], a.lane[3]}}; }
static inline float _mm_cvtss_f32(__m128 a) { return a.lane[0]; }
static inline float _mm512_cvtss_f32(__m512 a) { return a.lane[0]; }

static inline __m512i _mm512_maskz_mov_epi32(__mmask16 mask, __m512i a) {
  emulated::Ints result = emulated::cast<emulated::Ints>(a);
  for (int i = 0; i < 16; ++i) {
    if (!emulated::bit(mask, i)) result.lane[i] = 0;
  }
  return emulated::cast<__m512i>(result);
}

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

static inline __m512 _mm512_fmsub_ps(__m512 a, __m512 b, __m512 c) {
  for (int i = 0; i < 16; ++i) c.lane[i] = std::fmaf(a.lane[i], b.lane[i], -c.lane[i]);
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
static inline __m512i _mm512_mullo_epi32(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return emulated_wrap(int64_t{x} * y); });
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
static inline __m512i _mm512_or_si512(__m512i a, __m512i b) {
  return emulated::zip_ints(a, b, [](int32_t x, int32_t y) { return x | y; });
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

static inline long long _mm512_reduce_add_epi64(__m512i a) {
  uint64_t sum = 0;
  for (const uint64_t lane : emulated::cast<emulated::Longs>(a).lane) sum += lane;
  return static_cast<long long>(sum);
}

static inline __mmask16 _mm512_cmpge_epi32_mask(__m512i a, __m512i b) {
  const auto x = emulated::cast<emulated::Ints>(a);
  const auto y = emulated::cast<emulated::Ints>(b);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (x.lane[i] >= y.lane[i] ? 1u : 0u) << i;
  return static_cast<__mmask16>(mask);
}

// Only the predicates that the kernels use: greater, and not to be compared; both quiet.
#define _CMP_UNORD_Q 3
#define _CMP_GT_OQ 30
static inline __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int predicate) {
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) {
    const bool unordered = std::isnan(a.lane[i]) || std::isnan(b.lane[i]);
    const bool holds = predicate == _CMP_UNORD_Q ? unordered : a.lane[i] > b.lane[i];
    mask |= (holds ? 1u : 0u) << i;
  }
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
