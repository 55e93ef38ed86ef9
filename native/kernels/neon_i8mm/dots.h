// The integer dot products that matmul_int8 and matmul_int4 share. SMMLA multiplies two rows by two columns, eight k at
// a time, into four sums.
//
// Packed panels have quads of four k. The two quads that a product takes are zipped where they are used: for eight k of
// sixteen columns 8 zips to 4 products a row, so with six rows in a block 24 products and 8 zips stand where SDOT takes
// 48. Zipping a panel once for all rows would save up to a quarter more, for a copy of the panel and a second pass.
// int4 is zipped before its nibbles are separated, which takes half as many.
#pragma once

#include "kernels/neon/epilogue.h"
#include "kernels/shared/quantized_rows.h"

namespace honed::neon_i8mm {

using neon::f16_to_f32;
using neon::finish_panel;
using neon::for_blocks;
using neon::kPanelVectors;
using neon::kVector;
using neon::PanelResult;
using neon::zero_result;
using shared::RowBlock;
using shared::rows_from;

inline constexpr int kHalfVectors = kPanelVectors / 2;
inline constexpr int64_t kHalfQuadBytes = kTileColumns * 4;
inline constexpr int64_t kQuadBytes = kPanelColumns * 4;

template <int Rows>
inline constexpr int kPairs = (Rows + 1) / 2;

// Sums of half a panel: two rows by two columns in each register.
template <int Rows>
struct HalfDots {
  int32x4_t cells[kPairs<Rows>][2 * kHalfVectors];

  void clear() {
    for (auto& pair : cells) {
      for (int32x4_t& cell : pair) cell = vdupq_n_s32(0);
    }
  }
  // Columns 4 v to 4 v + 3 of row r.
  int32x4_t row(int r, int v) const {
    const int64x2_t first = vreinterpretq_s64_s32(cells[r / 2][2 * v]);
    const int64x2_t second = vreinterpretq_s64_s32(cells[r / 2][2 * v + 1]);
    return vreinterpretq_s32_s64(r % 2 == 0 ? vtrn1q_s64(first, second) : vtrn2q_s64(first, second));
  }
};

// Eight k of every pair of rows; the last row of an odd number is its own partner.
template <int Rows>
static inline void load_pairs(const RowBlock& x, int64_t k, int8x16_t (&pairs)[kPairs<Rows>]) {
  for (int p = 0; p < kPairs<Rows>; ++p) {
    const int partner = 2 * p + 1 < Rows ? 2 * p + 1 : 2 * p;
    pairs[p] = vcombine_s8(vld1_s8(x.codes(2 * p) + k), vld1_s8(x.codes(partner) + k));
  }
}

// Two quads of four columns as two columns of eight k each.
static inline int8x16_t zip_low(int8x16_t first, int8x16_t second) {
  return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second)));
}

static inline int8x16_t zip_high(int8x16_t first, int8x16_t second) {
  return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(first), vreinterpretq_s32_s8(second)));
}

template <int Rows>
static inline void multiply(const int8x16_t (&pairs)[kPairs<Rows>], int8x16_t columns, int cell,
                            HalfDots<Rows>& dots) {
  for (int p = 0; p < kPairs<Rows>; ++p) {
    dots.cells[p][cell] = vmmlaq_s32(dots.cells[p][cell], pairs[p], columns);
  }
}

static inline void scale_all(PanelResult& result, float scale) {
  for (float32x4_t& columns : result.columns) columns = vmulq_n_f32(columns, scale);
}

}  // namespace honed::neon_i8mm
