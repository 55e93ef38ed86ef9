// int8 weights times int8 activations: exact int32 dot products, over the whole of k or over groups.
#include "kernels/neon/dots.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

constexpr int64_t kPanelQuadBytes = kPanelColumns * 4;

// Adds four quads (16 k from k on) of half a panel; SDOT by element takes the quad of the activations from a lane.
template <int Rows>
static inline void add_four_quads(const RowBlock& x, int64_t k, const int8_t* cells, int half, Dots<Rows>& dots) {
  int8x16_t activations[Rows];
  for (int r = 0; r < Rows; ++r) activations[r] = vld1q_s8(x.codes(r) + k);
  for (int v = 0; v < kHalfVectors; ++v) {
    const int8_t* column = cells + half * kTileColumns * 4 + v * 16;
    const int8x16_t w0 = vld1q_s8(column);
    const int8x16_t w1 = vld1q_s8(column + kPanelQuadBytes);
    const int8x16_t w2 = vld1q_s8(column + 2 * kPanelQuadBytes);
    const int8x16_t w3 = vld1q_s8(column + 3 * kPanelQuadBytes);
    for (int r = 0; r < Rows; ++r) {
      int32x4_t dot = dots.columns[r][half * kHalfVectors + v];
      dot = vdotq_laneq_s32(dot, w0, activations[r], 0);
      dot = vdotq_laneq_s32(dot, w1, activations[r], 1);
      dot = vdotq_laneq_s32(dot, w2, activations[r], 2);
      dots.columns[r][half * kHalfVectors + v] = vdotq_laneq_s32(dot, w3, activations[r], 3);
    }
  }
}

// Adds k in [begin, end), multiples of 32, of which `cells` holds the first.
template <int Rows>
static inline void add_quads(const RowBlock& x, const int8_t* cells, int64_t begin, int64_t end, Dots<Rows>& dots) {
  for (int64_t k = begin; k < end; k += 16, cells += 16 * kPanelColumns) {
    for (int half = 0; half < 2; ++half) add_four_quads(x, k, cells, half, dots);
  }
}

template <int Rows>
void column_scaled(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const RowBlock x = rows_from(args, row);
  Dots<Rows> dots;
  dots.clear();
  add_quads(x, weights, 0, args.k_padded, dots);
  for (int r = 0; r < Rows; ++r) {
    PanelResult result;
    for (int v = 0; v < kPanelVectors; ++v) {
      const float32x4_t value = vmulq_n_f32(vcvtq_f32_s32(dots.columns[r][v]), x.scales(r)[0]);
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
    Dots<Rows> dots;
    dots.clear();
    add_quads(x, weights + begin * kPanelColumns, begin, stop < args.k_padded ? stop : args.k_padded, dots);
    for (int r = 0; r < Rows; ++r) {
      const float32x4_t scale = vdupq_n_f32(x.scales(r)[g]);
      for (int v = 0; v < kPanelVectors; ++v) {
        result[r].columns[v] = vfmaq_f32(result[r].columns[v], vcvtq_f32_s32(dots.columns[r][v]), scale);
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
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    Dots<Rows> dots;
    dots.clear();
    add_quads(x, codes, g * args.group, (g + 1) * args.group, dots);
    const auto* w_scales = reinterpret_cast<const uint8_t*>(codes + args.group * kPanelColumns);
    for (int r = 0; r < Rows; ++r) {
      const bool scaled = args.activation_group != 0;
      add_scaled(dots.columns[r], scaled, scaled ? x.scales(r)[g] : 1.0f, w_scales, result[r]);
    }
    codes += args.group * kPanelColumns + kPanelColumns * 2;
  }
  for (int r = 0; r < Rows; ++r) {
    if (args.activation_group == 0) multiply(result[r], x.scales(r)[0]);
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
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

}  // namespace honed::neon
