// The registers of the emulated intrinsics, and those that only move what is in them: loads, stores, broadcasts, shuffles.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/emulation/tiles.h"

// As the types of the compiler's header, they may alias whatever memory holds.
template <typename Lane, int Lanes>
struct [[gnu::may_alias]] EmulatedRegister {
  Lane lane[Lanes];
};

using __m512 = EmulatedRegister<float, 16>;
using __m256 = EmulatedRegister<float, 8>;
using __m128 = EmulatedRegister<float, 4>;
using __m512i = EmulatedRegister<uint8_t, 64>;
using __m256i = EmulatedRegister<uint8_t, 32>;
using __m128i = EmulatedRegister<uint8_t, 16>;
using __m512bh = __m512i;
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

static inline void _mm_prefetch(const void*, int) {}
static inline __m512 _mm512_loadu_ps(const void* p) { return emulated::load<__m512>(p); }
static inline __m512i _mm512_loadu_si512(const void* p) { return emulated::load<__m512i>(p); }
static inline __m512 _mm512_load_ps(const void* p) { return emulated::load_aligned<__m512>(p); }
static inline __m512i _mm512_load_si512(const void* p) { return emulated::load_aligned<__m512i>(p); }
static inline __m256i _mm256_loadu_si256(const __m256i* p) { return emulated::load<__m256i>(p); }
static inline __m128i _mm_loadu_si128(const __m128i* p) { return emulated::load<__m128i>(p); }
static inline void _mm512_storeu_ps(void* p, __m512 a) { std::memcpy(p, &a, sizeof a); }
static inline void _mm512_storeu_si512(void* p, __m512i a) { std::memcpy(p, &a, sizeof a); }
static inline void _mm512_store_ps(void* p, __m512 a) { emulated::store_aligned(p, a); }
static inline void _mm512_store_si512(void* p, __m512i a) { emulated::store_aligned(p, a); }
static inline void _mm256_storeu_si256(__m256i* p, __m256i a) { std::memcpy(static_cast<void*>(p), &a, sizeof a); }
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
