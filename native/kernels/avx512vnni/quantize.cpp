// Activation rows to int8. Groups of 32 are reduced eight at a time, which kernels/shared/quantize.h does not.
#include "kernels/avx512vnni/codes.h"
#include "kernels/avx512vnni/lanes.h"
#include "kernels/avx512vnni/slots.h"
#include "kernels/shared/quantize.h"

namespace honed::avx512vnni {
namespace {

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
  if (args.activation_group != kBlock) return shared::quantize<Vector>(args);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const shared::QuantizedPlace y(args, row);
    const float* x = args.x + row * args.x_stride;
    quantize_in_blocks(x, args.width, args.width_padded / kBlock, y.codes, y.scales, y.sums);
  }
}

}  // namespace honed::avx512vnni
