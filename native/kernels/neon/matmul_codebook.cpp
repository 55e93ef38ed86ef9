// Indices of sixteen int8 values, in groups, times int8 activations: a table look-up, then signed dot products.
#include "kernels/neon/dots.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

// Row `Quad` of cells: that quad of the block in the low nibbles, the one four further in the high ones.
template <int Rows, int Quad>
static inline void add_cells(const int8x16_t (&first)[Rows], const int8x16_t (&second)[Rows], const uint8_t* block,
                             int8x16_t table, Dots<Rows>& dots) {
  for (int v = 0; v < kPanelVectors; ++v) {
    const uint8_t* column = block + v / kHalfVectors * 4 * kQuadBytes + v % kHalfVectors * 16;
    const uint8x16_t pairs = vld1q_u8(column + Quad * kQuadBytes);
    const int8x16_t low = vqtbl1q_s8(table, vandq_u8(pairs, vdupq_n_u8(15)));
    const int8x16_t high = vqtbl1q_s8(table, vshrq_n_u8(pairs, 4));
    for (int r = 0; r < Rows; ++r) {
      const int32x4_t dot = vdotq_laneq_s32(dots.columns[r][v], low, first[r], Quad);
      dots.columns[r][v] = vdotq_laneq_s32(dot, high, second[r], Quad);
    }
  }
}

// Adds one block of 32 k from k on.
template <int Rows>
static inline void add_block(const RowBlock& x, int64_t k, const uint8_t* block, int8x16_t table, Dots<Rows>& dots) {
  int8x16_t first[Rows];
  int8x16_t second[Rows];
  for (int r = 0; r < Rows; ++r) {
    first[r] = vld1q_s8(x.codes(r) + k);
    second[r] = vld1q_s8(x.codes(r) + k + kBlock / 2);
  }
  add_cells<Rows, 0>(first, second, block, table, dots);
  add_cells<Rows, 1>(first, second, block, table, dots);
  add_cells<Rows, 2>(first, second, block, table, dots);
  add_cells<Rows, 3>(first, second, block, table, dots);
}

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const int8x16_t table = vld1q_s8(args.codebook);
  const RowBlock x = rows_from(args, row);
  const bool scaled = args.activation_group != 0;
  PanelResult result[Rows];
  for (int r = 0; r < Rows; ++r) result[r] = zero_result();
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    Dots<Rows> dots;
    dots.clear();
    for (int64_t k = 0; k < args.group; k += kBlock) {
      add_block(x, g * args.group + k, bytes, table, dots);
      bytes += kBlockBytes;
    }
    for (int r = 0; r < Rows; ++r) {
      add_scaled(dots.columns[r], scaled, scaled ? x.scales(r)[g] : 1.0f, bytes, result[r]);
    }
    bytes += kPanelColumns * 2;
  }
  for (int r = 0; r < Rows; ++r) {
    if (!scaled) multiply(result[r], x.scales(r)[0]);
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_codebook(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::neon
