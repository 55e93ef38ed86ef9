// The integer dot products that the quantized matmuls share: 32 columns of a block of rows.
#pragma once

#include "kernels/neon/epilogue.h"

namespace honed::neon {

inline constexpr int kMostRows = 2;  // 16 of the 32 registers accumulate
inline constexpr int kHalfVectors = kPanelVectors / 2;
inline constexpr int64_t kQuadBytes = kTileColumns * 4;

// Quantized rows that follow one another.
struct RowBlock {
  const char* first;
  int64_t row_bytes;
  int64_t scales_offset;
  int64_t sums_offset;

  const int8_t* codes(int r) const { return reinterpret_cast<const int8_t*>(first + r * row_bytes); }
  const float* scales(int r) const { return reinterpret_cast<const float*>(first + r * row_bytes + scales_offset); }
  const int32_t* sums(int r) const { return reinterpret_cast<const int32_t*>(first + r * row_bytes + sums_offset); }
};

static inline RowBlock rows_from(const MatmulArgs& args, int64_t row) {
  return {static_cast<const char*>(args.x) + row * args.x_row_bytes, args.x_row_bytes, args.scales_offset,
          args.sums_offset};
}

template <int Rows>
struct Dots {
  int32x4_t columns[Rows][kPanelVectors];

  void clear() {
    for (auto& row : columns) {
      for (int32x4_t& column : row) column = vdupq_n_s32(0);
    }
  }
};

// result = fma(float(dot) * x_scale, w_scale, result) over one row; without `scaled`, x_scale is left out.
static inline void add_scaled(const int32x4_t (&dots)[kPanelVectors], bool scaled, float x_scale,
                              const uint8_t* w_scales, PanelResult& result) {
  for (int v = 0; v < kPanelVectors; ++v) {
    float32x4_t value = vcvtq_f32_s32(dots[v]);
    if (scaled) value = vmulq_n_f32(value, x_scale);
    result.columns[v] = vfmaq_f32(result.columns[v], value, f16_to_f32(w_scales + v * kVector * 2));
  }
}

static inline void multiply(PanelResult& result, float scale) {
  for (float32x4_t& columns : result.columns) columns = vmulq_n_f32(columns, scale);
}

}  // namespace honed::neon
