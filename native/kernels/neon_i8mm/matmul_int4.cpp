// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float.
#include "kernels/neon/int4_groups.h"
#include "kernels/neon_i8mm/dots.h"
#include "kernels/neon_i8mm/slots.h"

namespace honed::neon_i8mm {
namespace {

using neon::Group;
using neon::group_at;
using neon::kBlockBytes;

constexpr int kMostRows = 4;  // 16 registers accumulate half a panel, nibbles and activations take most of the others

static inline int8x16_t low_nibbles(int8x16_t cells) { return vandq_s8(cells, vdupq_n_s8(15)); }

static inline int8x16_t high_nibbles(int8x16_t cells) {
  return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(cells), 4));
}

// Adds one block of 32 k from k on. Rows i and i + 1 of cells, zipped, hold eight k from 4 i on in the low nibbles and
// eight from 16 + 4 i on in the high ones.
template <int Rows>
static inline void add_block(const RowBlock& x, int64_t k, const uint8_t* block, int half, HalfDots<Rows>& dots) {
  const auto* cells = reinterpret_cast<const int8_t*>(block) + half * 4 * kHalfQuadBytes;
  for (int i = 0; i < 4; i += 2, cells += 2 * kHalfQuadBytes) {
    int8x16_t low[kPairs<Rows>];
    int8x16_t high[kPairs<Rows>];
    load_pairs<Rows>(x, k + 4 * i, low);
    load_pairs<Rows>(x, k + 16 + 4 * i, high);
    for (int v = 0; v < kHalfVectors; ++v) {
      const int8x16_t first = vld1q_s8(cells + v * 16);
      const int8x16_t second = vld1q_s8(cells + kHalfQuadBytes + v * 16);
      const int8x16_t left = zip_low(first, second);
      const int8x16_t right = zip_high(first, second);
      multiply<Rows>(low, low_nibbles(left), 2 * v, dots);
      multiply<Rows>(high, high_nibbles(left), 2 * v, dots);
      multiply<Rows>(low, low_nibbles(right), 2 * v + 1, dots);
      multiply<Rows>(high, high_nibbles(right), 2 * v + 1, dots);
    }
  }
}

// What four columns from `column` on are offset by, as integers: a zero point, or nothing.
static inline int32x4_t zero_points(const MatmulArgs& args, const Group& group, int column) {
  if (args.offset == Int4Offset::symmetric) return vdupq_n_s32(8);
  if (args.offset == Int4Offset::minimum) return vdupq_n_s32(0);
  const uint8_t* zeros = group.offsets + column;
  const int32_t lanes[kVector] = {zeros[0], zeros[1], zeros[2], zeros[3]};
  return vld1q_s32(lanes);
}

template <int Rows>
static inline void fold(const MatmulArgs& args, const Group& group, const RowBlock& x, int64_t g,
                        const int32_t (&sums)[Rows], int half, const HalfDots<Rows>& dots,
                        PanelResult (&result)[Rows]) {
  const bool scaled = args.activation_group != 0;
  for (int v = 0; v < kHalfVectors; ++v) {
    const int column = (half * kHalfVectors + v) * kVector;
    const int32x4_t zeros = zero_points(args, group, column);
    const float32x4_t w_scale = f16_to_f32(group.scales + column * 2);
    for (int r = 0; r < Rows; ++r) {
      float32x4_t& sum = result[r].columns[column / kVector];
      float32x4_t value = vcvtq_f32_s32(vmlsq_n_s32(dots.row(r, v), zeros, sums[r]));
      if (scaled) value = vmulq_n_f32(value, x.scales(r)[g]);
      sum = vfmaq_f32(sum, value, w_scale);
      if (args.offset != Int4Offset::minimum) continue;
      const float total = scaled ? static_cast<float>(sums[r]) * x.scales(r)[g] : static_cast<float>(sums[r]);
      sum = vfmaq_f32(sum, vdupq_n_f32(total), f16_to_f32(group.offsets + column * 2));
    }
  }
}

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const uint8_t* codes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const RowBlock x = rows_from(args, row);
  const int64_t blocks = args.group / kBlock;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const Group group = group_at(args, codes);
    int32_t sums[Rows] = {};
    for (int r = 0; r < Rows; ++r) {
      for (int64_t block = 0; block < blocks; ++block) sums[r] += x.sums(r)[g * blocks + block];
    }
    for (int half = 0; half < 2; ++half) {
      HalfDots<Rows> dots;
      dots.clear();
      for (int64_t block = 0; block < blocks; ++block) {
        add_block<Rows>(x, g * args.group + block * kBlock, codes + block * kBlockBytes, half, dots);
      }
      fold<Rows>(args, group, x, g, sums, half, dots, result);
    }
    codes += group.bytes;
  }
  for (int r = 0; r < Rows; ++r) {
    if (args.activation_group == 0) scale_all(result[r], x.scales(r)[0]);
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  if (args.row_end - args.row_begin < 2) return __atomic_load_n(&below.matmul_int4, __ATOMIC_RELAXED)(args);
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::neon_i8mm
