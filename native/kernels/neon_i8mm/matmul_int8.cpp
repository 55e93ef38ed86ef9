// int8 weights times int8 activations: exact int32 dot products, over the whole of k or over groups.
#include "kernels/neon_i8mm/dots.h"
#include "kernels/neon_i8mm/slots.h"

namespace honed::neon_i8mm {
namespace {

constexpr int kMostRows = 6;  // 24 of the 32 registers accumulate half a panel
// k after which the other half of a panel follows: it is then still in the first cache.
constexpr int64_t kSpan = 256;

// Adds k in [begin, end), multiples of 32, of which `cells` holds the first.
template <int Rows>
static inline void add_quads(const RowBlock& x, const int8_t* cells, int half, int64_t begin, int64_t end,
                             HalfDots<Rows>& dots) {
  cells += half * kHalfQuadBytes;
  for (int64_t k = begin; k < end; k += 8, cells += 2 * kQuadBytes) {
    int8x16_t pairs[kPairs<Rows>];
    load_pairs<Rows>(x, k, pairs);
    for (int v = 0; v < kHalfVectors; ++v) {
      const int8x16_t first = vld1q_s8(cells + v * 16);
      const int8x16_t second = vld1q_s8(cells + kQuadBytes + v * 16);
      multiply<Rows>(pairs, zip_low(first, second), 2 * v, dots);
      multiply<Rows>(pairs, zip_high(first, second), 2 * v + 1, dots);
    }
  }
}

template <int Rows>
void column_scaled(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const RowBlock x = rows_from(args, row);
  HalfDots<Rows> dots[2];
  for (auto& half : dots) half.clear();
  for (int64_t begin = 0; begin < args.k_padded; begin += kSpan) {
    const int64_t end = begin + kSpan < args.k_padded ? begin + kSpan : args.k_padded;
    for (int half = 0; half < 2; ++half) {
      HalfDots<Rows> sums = dots[half];  // a copy, which stays in registers
      add_quads(x, weights + begin * kPanelColumns, half, begin, end, sums);
      dots[half] = sums;
    }
  }
  for (int r = 0; r < Rows; ++r) {
    PanelResult result;
    for (int v = 0; v < kPanelVectors; ++v) {
      const int32x4_t dot = dots[v / kHalfVectors].row(r, v % kHalfVectors);
      const float32x4_t value = vmulq_n_f32(vcvtq_f32_s32(dot), x.scales(r)[0]);
      result.columns[v] = vmulq_f32(value, vld1q_f32(column_scales + v * kVector));
    }
    finish_panel(args, row + r, panel, result);
  }
}

template <int Rows>
void column_scaled_in_groups(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const RowBlock x = rows_from(args, row);
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t begin = 0, g = 0; begin < args.k_padded; begin += args.activation_group, ++g) {
    const int64_t stop = begin + args.activation_group;
    for (int half = 0; half < 2; ++half) {
      HalfDots<Rows> dots;
      dots.clear();
      add_quads(x, weights + begin * kPanelColumns, half, begin, stop < args.k_padded ? stop : args.k_padded, dots);
      for (int r = 0; r < Rows; ++r) {
        const float32x4_t scale = vdupq_n_f32(x.scales(r)[g]);
        for (int v = 0; v < kHalfVectors; ++v) {
          float32x4_t& sum = result[r].columns[half * kHalfVectors + v];
          sum = vfmaq_f32(sum, vcvtq_f32_s32(dots.row(r, v)), scale);
        }
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      result[r].columns[v] = vmulq_f32(result[r].columns[v], vld1q_f32(column_scales + v * kVector));
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

template <int Rows>
void group_scaled(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* codes = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const RowBlock x = rows_from(args, row);
  const bool scaled = args.activation_group != 0;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const auto* w_scales = reinterpret_cast<const uint8_t*>(codes + args.group * kPanelColumns);
    for (int half = 0; half < 2; ++half) {
      HalfDots<Rows> dots;
      dots.clear();
      add_quads(x, codes, half, g * args.group, (g + 1) * args.group, dots);
      for (int v = 0; v < kHalfVectors; ++v) {
        const int column = half * kHalfVectors + v;
        const float32x4_t w_scale = f16_to_f32(w_scales + column * kVector * 2);
        for (int r = 0; r < Rows; ++r) {
          float32x4_t value = vcvtq_f32_s32(dots.row(r, v));
          if (scaled) value = vmulq_n_f32(value, x.scales(r)[g]);
          result[r].columns[column] = vfmaq_f32(result[r].columns[column], value, w_scale);
        }
      }
    }
    codes += args.group * kPanelColumns + kPanelColumns * 2;
  }
  for (int r = 0; r < Rows; ++r) {
    if (!scaled) scale_all(result[r], x.scales(r)[0]);
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
  if (args.row_end - args.row_begin < 2) return __atomic_load_n(&below.matmul_int8, __ATOMIC_RELAXED)(args);
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end, [&]<int Rows>(int64_t row) {
      if (args.group != 0) {
        group_scaled<Rows>(args, row, panel);
      } else if (args.activation_group != 0) {
        column_scaled_in_groups<Rows>(args, row, panel);
      } else {
        column_scaled<Rows>(args, row, panel);
      }
    });
  }
}

}  // namespace honed::neon_i8mm
