// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#include "kernels/avx512vnni/codes.h"
#include "kernels/avx512vnni/lanes.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

// Quantizes x[0, valid) and zero fills up to `length`; returns the scale.
float quantize_group(const float* x, int64_t valid, int64_t length, int8_t* q, int32_t* sums) {
  const float largest = largest_magnitude(x, valid);
  const __m512 inverse = _mm512_set1_ps(largest > 0.0f ? 127.0f / largest : 0.0f);
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    const __m512i low = codes_of(x + begin, valid - begin, inverse, 127.0f);
    const __m512i high = codes_of(x + begin + kVector, valid - begin - kVector, inverse, 127.0f);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + begin), _mm512_cvtepi32_epi8(low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + begin + kVector), _mm512_cvtepi32_epi8(high));
    sums[begin / kBlock] = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
  }
  return largest / 127.0f;
}

// Quantizes `Blocks` groups of 32, of which the first `valid` values are real.
template <int Blocks, bool Whole>
[[gnu::always_inline]] inline void quantize_blocks(const float* x, int64_t valid, int8_t* q, float* scales,
                                                   int32_t* sums) {
  const auto load = [&](int i) {
    if constexpr (Whole) return _mm512_loadu_ps(x + i * kVector);
    return _mm512_maskz_loadu_ps(first_lanes(valid - i * kVector), x + i * kVector);
  };
  const __m512 zero = _mm512_setzero_ps();
  const __m512 sign = _mm512_set1_ps(-0.0f);
  __m512 largest[kReduced];
#pragma GCC unroll 8
  for (int b = 0; b < kReduced; ++b) {
    largest[b] = zero;
    if (b >= Blocks) continue;
    // This order of operands passes over what is not a number.
    largest[b] = _mm512_max_ps(_mm512_andnot_ps(sign, load(2 * b)), largest[b]);
    largest[b] = _mm512_max_ps(_mm512_andnot_ps(sign, load(2 * b + 1)), largest[b]);
  }
  const __m512 most = largest_of_eight(largest);
  const __m512 limit = _mm512_set1_ps(127.0f);
  alignas(64) float inverses[kVector];
  _mm512_store_ps(inverses, _mm512_maskz_div_ps(_mm512_cmp_ps_mask(most, zero, _CMP_GT_OQ), limit, most));
  _mm512_mask_storeu_ps(scales, first_lanes(Blocks), _mm512_div_ps(most, limit));
  __m512i totals[kReduced];
#pragma GCC unroll 8
  for (int b = 0; b < kReduced; ++b) {
    totals[b] = _mm512_setzero_si512();
    if (b >= Blocks) continue;
    const __m512 inverse = _mm512_set1_ps(inverses[b]);
    const int64_t left = Whole ? kBlock : valid - b * kBlock;
    const __m512i low = codes_of(x + b * kBlock, left, inverse, 127.0f);
    const __m512i high = codes_of(x + b * kBlock + kVector, left - kVector, inverse, 127.0f);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + b * kBlock), _mm512_cvtepi32_epi8(low));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + b * kBlock + kVector), _mm512_cvtepi32_epi8(high));
    totals[b] = _mm512_add_epi32(low, high);
  }
  _mm512_mask_storeu_epi32(sums, first_lanes(Blocks), sums_of_eight(totals));
}

// A row in groups of 32, eight of them at a time.
void quantize_in_blocks(const float* x, int64_t width, int64_t blocks, int8_t* q, float* scales, int32_t* sums) {
  for_blocks<kReduced>(0, blocks, [&]<int Blocks>(int64_t first) {
    const int64_t valid = width - first * kBlock;
    int8_t* codes = q + first * kBlock;
    if (valid >= Blocks * kBlock) {
      quantize_blocks<Blocks, true>(x + first * kBlock, valid, codes, scales + first, sums + first);
    } else {
      quantize_blocks<Blocks, false>(x + first * kBlock, valid, codes, scales + first, sums + first);
    }
  });
}

}  // namespace

void quantize(const QuantizeArgs& args) {
  const int64_t group = args.activation_group == 0 ? args.width_padded : args.activation_group;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    char* y = static_cast<char*>(args.y) + row * args.y_row_bytes;
    int8_t* q = reinterpret_cast<int8_t*>(y);
    float* scales = reinterpret_cast<float*>(y + args.scales_offset);
    int32_t* sums = reinterpret_cast<int32_t*>(y + args.sums_offset);
    if (group == kBlock) {
      quantize_in_blocks(x, args.width, args.width_padded / kBlock, q, scales, sums);
      continue;
    }
    for (int64_t begin = 0; begin < args.width_padded; begin += group) {
      const int64_t left = args.width > begin ? args.width - begin : 0;
      const int64_t valid = left < group ? left : group;
      scales[begin / group] = quantize_group(x + begin, valid, group, q + begin, sums + begin / kBlock);
    }
  }
}

}  // namespace honed::avx512vnni
