// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float.
#include "kernels/neon/dots.h"
#include "kernels/neon/int4_groups.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

// Starts 32 dot products at -(zero point) * (sum of the activations of the group).
void start(const MatmulArgs& args, const Group& group, int32_t sum, int32x4_t (&dots)[kPanelVectors]) {
  for (int v = 0; v < kPanelVectors; ++v) {
    dots[v] = vdupq_n_s32(args.offset == Int4Offset::symmetric ? -8 * sum : 0);
  }
  if (args.offset != Int4Offset::zero_point) return;
  for (int v = 0; v < kPanelVectors; v += 2) {
    const uint16x8_t zeros = vmovl_u8(vld1_u8(group.offsets + v * kVector));
    dots[v] = vmulq_n_s32(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(zeros))), -sum);
    dots[v + 1] = vmulq_n_s32(vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(zeros))), -sum);
  }
}

// Row i of cells: quad i of the block in the low nibbles, quad i + 4 in the high ones.
template <int Rows, int Quad>
static inline void add_cells(const int8x16_t (&first)[Rows], const int8x16_t (&second)[Rows], const uint8_t* cells,
                             int half, Dots<Rows>& dots) {
  for (int v = 0; v < kHalfVectors; ++v) {
    const uint8x16_t packed = vld1q_u8(cells + Quad * kQuadBytes + v * 16);
    const int8x16_t low = vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15)));
    const int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(packed, 4));
    for (int r = 0; r < Rows; ++r) {
      int32x4_t& dot = dots.columns[r][half * kHalfVectors + v];
      dot = vdotq_laneq_s32(dot, low, first[r], Quad);
      dot = vdotq_laneq_s32(dot, high, second[r], Quad);
    }
  }
}

// Adds one block of 32 k from k on.
template <int Rows>
static inline void add_block(const RowBlock& x, int64_t k, const uint8_t* block, Dots<Rows>& dots) {
  int8x16_t first[Rows];
  int8x16_t second[Rows];
  for (int r = 0; r < Rows; ++r) {
    first[r] = vld1q_s8(x.codes(r) + k);
    second[r] = vld1q_s8(x.codes(r) + k + kBlock / 2);
  }
  for (int half = 0; half < 2; ++half) {
    const uint8_t* cells = block + half * 4 * kQuadBytes;
    add_cells<Rows, 0>(first, second, cells, half, dots);
    add_cells<Rows, 1>(first, second, cells, half, dots);
    add_cells<Rows, 2>(first, second, cells, half, dots);
    add_cells<Rows, 3>(first, second, cells, half, dots);
  }
}

void add_minimums(const Group& group, int32_t sum, bool scaled, float x_scale, PanelResult& result) {
  const float total = scaled ? static_cast<float>(sum) * x_scale : static_cast<float>(sum);
  for (int v = 0; v < kPanelVectors; ++v) {
    const float32x4_t minimums = f16_to_f32(group.offsets + v * kVector * 2);
    result.columns[v] = vfmaq_f32(result.columns[v], vdupq_n_f32(total), minimums);
  }
}

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const uint8_t* codes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const RowBlock x = rows_from(args, row);
  const bool scaled = args.activation_group != 0;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const Group group = group_at(args, codes);
    const int64_t blocks = args.group / kBlock;
    Dots<Rows> dots;
    int32_t sums[Rows] = {};
    for (int r = 0; r < Rows; ++r) {
      for (int64_t block = 0; block < blocks; ++block) sums[r] += x.sums(r)[g * blocks + block];
      start(args, group, sums[r], dots.columns[r]);
    }
    for (int64_t block = 0; block < blocks; ++block) {
      add_block(x, g * args.group + block * kBlock, codes + block * kBlockBytes, dots);
    }
    for (int r = 0; r < Rows; ++r) {
      const float x_scale = scaled ? x.scales(r)[g] : 1.0f;
      add_scaled(dots.columns[r], scaled, x_scale, group.scales, result[r]);
      if (args.offset == Int4Offset::minimum) add_minimums(group, sums[r], scaled, x_scale, result[r]);
    }
    codes += group.bytes;
  }
  for (int r = 0; r < Rows; ++r) {
    if (!scaled) multiply(result[r], x.scales(r)[0]);
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::neon
