// Quantized activation rows as the integer matmuls of this folder take them.
#pragma once

#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

template <int Rows>
struct Block {
  const int8_t* codes[Rows];
  const float* scales[Rows];
  const int32_t* sums[Rows];
};

template <int Rows>
inline Block<Rows> block_of(const MatmulArgs& args, int64_t row) {
  Block<Rows> block;
  for (int r = 0; r < Rows; ++r) {
    const char* bytes = static_cast<const char*>(args.x) + (row + r) * args.x_row_bytes;
    block.codes[r] = reinterpret_cast<const int8_t*>(bytes);
    block.scales[r] = reinterpret_cast<const float*>(bytes + args.scales_offset);
    block.sums[r] = reinterpret_cast<const int32_t*>(bytes + args.sums_offset);
  }
  return block;
}

inline __m256i broadcast_quad(const int8_t* x) {
  int32_t quad;
  __builtin_memcpy(&quad, x, sizeof quad);
  return _mm256_set1_epi32(quad);
}

}  // namespace
}  // namespace honed::avx2
