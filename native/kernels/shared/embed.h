// Embedding rows, widened to f32. Rows of blocks (slot embed_blocks) are portable on every set.
#pragma once

#include <cstring>

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

// y = `width` halves of `source` as widen(halves) makes a vector of them.
template <FloatVector V, typename Widen>
inline void widen_row(const uint16_t* source, int64_t width, float* y, const Widen& widen) {
  int64_t i = 0;
  for (; i + V::kWidth <= width; i += V::kWidth) V::store(y + i, widen(source + i));
  if (i == width) return;
  uint16_t last[V::kWidth] = {};
  std::memcpy(last, source + i, static_cast<std::size_t>(width - i) * sizeof(uint16_t));
  V::store(y + i, V::first(width - i), widen(last));
}

template <FloatVector V>
void embed(const EmbedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int64_t first = static_cast<int64_t>(args.tokens[row]) * args.width;
    float* y = args.y + row * args.y_stride;
    if (args.type == TableType::f32) {
      const float* source = static_cast<const float*>(args.table) + first;
      std::memcpy(y, source, static_cast<std::size_t>(args.width) * sizeof(float));
      continue;
    }
    const uint16_t* source = static_cast<const uint16_t*>(args.table) + first;
    if (args.type == TableType::bf16) {
      widen_row<V>(source, args.width, y, [](const uint16_t* halves) { return V::widen(halves); });
    } else {
      widen_row<V>(source, args.width, y, [](const uint16_t* halves) { return V::widen_f16(halves); });
    }
  }
}

}  // namespace
}  // namespace honed::shared
