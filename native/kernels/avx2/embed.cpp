// Embedding rows, widened to f32.
#include <cstring>

#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

__m256 widen_bf16(const uint16_t* source) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

__m256 widen(TableType type, const uint16_t* source) {
  return type == TableType::bf16 ? widen_bf16(source) : f16_to_f32(source);
}

}  // namespace

void embed(const EmbedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int64_t first = static_cast<int64_t>(args.tokens[row]) * args.width;
    float* y = args.y + row * args.y_stride;
    if (args.type == TableType::f32) {
      std::memcpy(y, static_cast<const float*>(args.table) + first, static_cast<size_t>(args.width) * sizeof(float));
      continue;
    }
    const uint16_t* source = static_cast<const uint16_t*>(args.table) + first;
    int64_t i = 0;
    for (; i + kVector <= args.width; i += kVector) _mm256_storeu_ps(y + i, widen(args.type, source + i));
    if (i < args.width) {
      uint16_t tail[kVector] = {};
      std::memcpy(tail, source + i, static_cast<size_t>(args.width - i) * sizeof(uint16_t));
      store_first(y + i, args.width - i, widen(args.type, tail));
    }
  }
}

}  // namespace honed::avx2
