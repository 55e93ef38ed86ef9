// Quantized activation rows as matmuls take them.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::shared {
namespace {

// Rows that follow one another.
struct RowBlock {
  const char* first;
  int64_t row_bytes;
  int64_t scales_offset;
  int64_t sums_offset;

  const int8_t* codes(int r) const { return reinterpret_cast<const int8_t*>(first + r * row_bytes); }
  const float* scales(int r) const { return reinterpret_cast<const float*>(first + r * row_bytes + scales_offset); }
  const int32_t* sums(int r) const { return reinterpret_cast<const int32_t*>(first + r * row_bytes + sums_offset); }
};

inline RowBlock rows_from(const MatmulArgs& args, int64_t row) {
  return {static_cast<const char*>(args.x) + row * args.x_row_bytes, args.x_row_bytes, args.scales_offset,
          args.sums_offset};
}

}  // namespace
}  // namespace honed::shared
