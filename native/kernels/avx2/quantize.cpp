// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#include <cstring>

#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

float largest_magnitude(const float* x, int64_t count) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 low = _mm256_setzero_ps();
  __m256 high = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 2 * kVector <= count; i += 2 * kVector) {
    low = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)), low);
    high = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(x + i + kVector)), high);
  }
  for (; i < count; i += kVector) {
    const __m256 value = i + kVector <= count ? _mm256_loadu_ps(x + i) : load_first(x + i, count - i);
    low = _mm256_max_ps(_mm256_andnot_ps(sign, value), low);
  }
  return largest_lane(_mm256_max_ps(low, high));
}

__m256i quantize_vector(__m256 x, __m256 inverse) {
  __m256 value = _mm256_mul_ps(x, inverse);
  value = _mm256_min_ps(value, _mm256_set1_ps(127.0f));
  value = _mm256_max_ps(value, _mm256_set1_ps(-127.0f));
  return _mm256_cvtps_epi32(value);
}

// Quantizes one block of 32, of which `valid` (at least 1) are real and the rest become zero; returns their sum.
int32_t quantize_block(const float* x, int64_t valid, float inverse, int8_t* q) {
  const __m256 factor = _mm256_set1_ps(inverse);
  __m256i codes[4];
  for (int v = 0; v < 4; ++v) {
    const int64_t left = valid - v * kVector;
    if (left >= kVector) {
      codes[v] = quantize_vector(_mm256_loadu_ps(x + v * kVector), factor);
    } else if (left > 0) {
      // Masked again afterwards: 0 * infinity is not a zero.
      codes[v] = _mm256_and_si256(quantize_vector(load_first(x + v * kVector, left), factor), first_lanes(left));
    } else {
      codes[v] = _mm256_setzero_si256();
    }
  }
  const __m256i words_low = _mm256_packs_epi32(codes[0], codes[1]);
  const __m256i words_high = _mm256_packs_epi32(codes[2], codes[3]);
  const __m256i bytes = _mm256_packs_epi16(words_low, words_high);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_permutevar8x32_epi32(bytes, order));
  return sum_lanes(_mm256_madd_epi16(_mm256_add_epi16(words_low, words_high), _mm256_set1_epi16(1)));
}

// Quantizes x[0, valid) and zero fills up to `length`; returns the scale.
float quantize_group(const float* x, int64_t valid, int64_t length, int8_t* q, int32_t* sums) {
  const float largest = largest_magnitude(x, valid);
  const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    if (begin >= valid) {
      std::memset(q + begin, 0, kBlock);
      sums[begin / kBlock] = 0;
    } else {
      const int64_t left = valid - begin;
      sums[begin / kBlock] = quantize_block(x + begin, left < kBlock ? left : kBlock, inverse, q + begin);
    }
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

}  // namespace honed::avx2
