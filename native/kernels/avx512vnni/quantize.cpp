// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#include "kernels/avx512vnni/codes.h"
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

}  // namespace

void quantize(const QuantizeArgs& args) {
  const int64_t group = args.activation_group == 0 ? args.width_padded : args.activation_group;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    char* y = static_cast<char*>(args.y) + row * args.y_row_bytes;
    int8_t* q = reinterpret_cast<int8_t*>(y);
    float* scales = reinterpret_cast<float*>(y + args.scales_offset);
    int32_t* sums = reinterpret_cast<int32_t*>(y + args.sums_offset);
    for (int64_t begin = 0; begin < args.width_padded; begin += group) {
      const int64_t left = args.width > begin ? args.width - begin : 0;
      const int64_t valid = left < group ? left : group;
      scales[begin / group] = quantize_group(x + begin, valid, group, q + begin, sums + begin / kBlock);
    }
  }
}

}  // namespace honed::avx512vnni
