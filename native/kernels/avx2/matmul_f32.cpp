// Dense f32 weights. Lanes are columns, so each lane is the chain of fma over k that the contract asks for.
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

const float* row_of(const MatmulArgs& args, int64_t row) {
  return reinterpret_cast<const float*>(static_cast<const char*>(args.x) + row * args.x_row_bytes);
}

// Products of `Rows` rows with `Vectors` vectors of columns, from vector `first` of the panel.
template <int Rows, int Vectors>
inline void multiply(const MatmulArgs& args, int64_t row, const float* weights, int first,
                     __m256 (&result)[Rows][kPanelVectors]) {
  const float* x[Rows];
  __m256 sums[Rows][Vectors];
  for (int r = 0; r < Rows; ++r) {
    x[r] = row_of(args, row + r);
    for (int v = 0; v < Vectors; ++v) sums[r][v] = _mm256_setzero_ps();
  }
  weights += first * kVector;
  for (int64_t k = 0; k < args.k; ++k) {
    __m256 w[Vectors];
    for (int v = 0; v < Vectors; ++v) w[v] = _mm256_loadu_ps(weights + k * kPanelColumns + v * kVector);
    for (int r = 0; r < Rows; ++r) {
      const __m256 value = _mm256_broadcast_ss(x[r] + k);
      for (int v = 0; v < Vectors; ++v) sums[r][v] = _mm256_fmadd_ps(value, w[v], sums[r][v]);
    }
  }
  // Left rolled, this loop alone would keep the sums in memory throughout.
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) result[r][first + v] = sums[r][v];
  }
}

// Few rows take the panel in one stream; six rows take half of it at a time, to keep all sums in registers.
template <int Rows>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
  const float* weights = reinterpret_cast<const float*>(bytes);
  __m256 result[Rows][kPanelVectors];
  if constexpr (Rows <= 2) {
    multiply<Rows, kPanelVectors>(args, row, weights, 0, result);
  } else {
    multiply<Rows, 2>(args, row, weights, 0, result);
    multiply<Rows, 2>(args, row, weights, 2, result);
  }
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

}  // namespace

void matmul_f32(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    int64_t row = args.row_begin;
    for (; row + 6 <= args.row_end; row += 6) run_rows<6>(args, row, panel);
    for (; row + 4 <= args.row_end; row += 4) run_rows<4>(args, row, panel);
    for (; row + 2 <= args.row_end; row += 2) run_rows<2>(args, row, panel);
    for (; row < args.row_end; ++row) run_rows<1>(args, row, panel);
  }
}

}  // namespace honed::avx2
