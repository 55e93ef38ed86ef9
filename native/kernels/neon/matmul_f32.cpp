// Dense f32 weights: one chain of fma over k for each column.
#include "kernels/neon/epilogue.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

constexpr int kMostRows = 2;  // 16 of the 32 registers accumulate; three rows would leave none for weights to come

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* x_bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  const float* x[Rows];
  PanelResult sums[Rows];
  for (int r = 0; r < Rows; ++r) {
    x[r] = reinterpret_cast<const float*>(x_bytes + r * args.x_row_bytes);
    sums[r] = zero_result();
  }
  const char* panel_bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
  const auto* w = reinterpret_cast<const float*>(panel_bytes);
  for (int64_t k = 0; k < args.k; ++k, w += kPanelColumns) {
    for (int v = 0; v < kPanelVectors; ++v) {
      const float32x4_t weight = vld1q_f32(w + v * kVector);
      for (int r = 0; r < Rows; ++r) {
        sums[r].columns[v] = vfmaq_f32(sums[r].columns[v], vdupq_n_f32(x[r][k]), weight);
      }
    }
  }
  // A copy, unrolled: indexed by a loop that stays a loop, the sums would live in memory all along.
  PanelResult result[Rows];
#pragma GCC unroll 2
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kPanelVectors; ++v) result[r].columns[v] = sums[r].columns[v];
  }
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

}  // namespace

void matmul_f32(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::neon
