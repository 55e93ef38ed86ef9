// Dense f32 weights: one chain of fma over k for each column.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 8;              // 16 accumulators: a load of weights serves eight rows

template <int Rows>
void multiply_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* x_bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
  const float* x[Rows];
  __m512 low_sum[Rows];
  __m512 high_sum[Rows];
  for (int r = 0; r < Rows; ++r) {
    x[r] = reinterpret_cast<const float*>(x_bytes + r * args.x_row_bytes);
    low_sum[r] = high_sum[r] = _mm512_setzero_ps();
  }
  const char* panel_bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
  const auto* w = reinterpret_cast<const float*>(panel_bytes);
  for (int64_t k = 0; k < args.k; ++k, w += kPanelColumns) {
    const __m512 low = _mm512_loadu_ps(w);
    const __m512 high = _mm512_loadu_ps(w + kVector);
    for (int r = 0; r < Rows; ++r) {
      const __m512 value = _mm512_set1_ps(x[r][k]);
      low_sum[r] = _mm512_fmadd_ps(value, low, low_sum[r]);
      high_sum[r] = _mm512_fmadd_ps(value, high, high_sum[r]);
    }
  }
  // A copy, unrolled: indexed by a loop that stays a loop, the sums would live in memory all along.
  PanelResult result[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) result[r] = {low_sum[r], high_sum[r]};
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

}  // namespace

void matmul_f32(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_blocks<kMostRows>(args.row_begin, args.row_end,
                          [&]<int Rows>(int64_t row) { multiply_rows<Rows>(args, row, panel); });
  }
}

}  // namespace honed::avx512vnni
