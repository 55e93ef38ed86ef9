// The integer dot products that the quantized matmuls share: 32 columns of a block of rows.
#pragma once

#include "kernels/neon/epilogue.h"
#include "kernels/shared/quantized_rows.h"

namespace honed::neon {
namespace {

inline constexpr int kMostRows = 2;  // 16 of the 32 registers accumulate
inline constexpr int kHalfVectors = kPanelVectors / 2;
inline constexpr int64_t kQuadBytes = kTileColumns * 4;

using shared::RowBlock;
using shared::rows_from;

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
inline void add_scaled(const int32x4_t (&dots)[kPanelVectors], bool scaled, float x_scale,
                              const uint8_t* w_scales, PanelResult& result) {
  for (int v = 0; v < kPanelVectors; ++v) {
    float32x4_t value = vcvtq_f32_s32(dots[v]);
    if (scaled) value = vmulq_n_f32(value, x_scale);
    result.columns[v] = vfmaq_f32(result.columns[v], value, f16_to_f32(w_scales + v * kVector * 2));
  }
}

inline void multiply(PanelResult& result, float scale) {
  for (float32x4_t& columns : result.columns) columns = vmulq_n_f32(columns, scale);
}

}  // namespace
}  // namespace honed::neon
