// Dense bf16 weights, widened to f32 in registers. Lanes are columns, so each lane is the chain of fma over k that
// the contract asks for. Sixteen columns are widened as eight even and eight odd ones, one operation each, and put
// back in order once at the end.
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

constexpr int kPrefetchBytes = 4096;
constexpr int kPairs = kPanelColumns / 16;

const float* row_of(const MatmulArgs& args, int64_t row) {
  return reinterpret_cast<const float*>(static_cast<const char*>(args.x) + row * args.x_row_bytes);
}

// Products of `Rows` rows with `Pairs` runs of 16 columns, from run `first` of the panel.
template <int Rows, int Pairs>
inline void multiply(const MatmulArgs& args, int64_t row, const uint16_t* weights, int first,
                     __m256 (&result)[Rows][kPanelVectors]) {
  const float* x[Rows];
  __m256 even[Rows][Pairs];
  __m256 odd[Rows][Pairs];
  for (int r = 0; r < Rows; ++r) {
    x[r] = row_of(args, row + r);
    for (int p = 0; p < Pairs; ++p) even[r][p] = odd[r][p] = _mm256_setzero_ps();
  }
  weights += first * 16;
  const __m256i upper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
  for (int64_t k = 0; k < args.k; ++k) {
    _mm_prefetch(reinterpret_cast<const char*>(weights + k * kPanelColumns) + kPrefetchBytes, _MM_HINT_T0);
    for (int p = 0; p < Pairs; ++p) {
      const __m256i bits =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + k * kPanelColumns + p * 16));
      const __m256 w_even = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
      const __m256 w_odd = _mm256_castsi256_ps(_mm256_and_si256(bits, upper));
      for (int r = 0; r < Rows; ++r) {
        const __m256 value = _mm256_broadcast_ss(x[r] + k);
        even[r][p] = _mm256_fmadd_ps(value, w_even, even[r][p]);
        odd[r][p] = _mm256_fmadd_ps(value, w_odd, odd[r][p]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    for (int p = 0; p < Pairs; ++p) {
      const __m256 low = _mm256_unpacklo_ps(even[r][p], odd[r][p]);
      const __m256 high = _mm256_unpackhi_ps(even[r][p], odd[r][p]);
      result[r][(first + p) * 2] = _mm256_permute2f128_ps(low, high, 0x20);
      result[r][(first + p) * 2 + 1] = _mm256_permute2f128_ps(low, high, 0x31);
    }
  }
}

// Few rows take the panel in one stream; more take half of it at a time, to keep all sums in registers.
template <int Rows>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const char* bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
  const uint16_t* weights = reinterpret_cast<const uint16_t*>(bytes);
  __m256 result[Rows][kPanelVectors];
  if constexpr (Rows <= 2) {
    multiply<Rows, kPairs>(args, row, weights, 0, result);
  } else {
    for (int p = 0; p < kPairs; ++p) multiply<Rows, 1>(args, row, weights, p, result);
  }
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

}  // namespace

void matmul_bf16(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    int64_t row = args.row_begin;
    for (; row + 6 <= args.row_end; row += 6) run_rows<6>(args, row, panel);
    for (; row + 4 <= args.row_end; row += 4) run_rows<4>(args, row, panel);
    for (; row + 2 <= args.row_end; row += 2) run_rows<2>(args, row, panel);
    for (; row < args.row_end; ++row) run_rows<1>(args, row, panel);
  }
}

}  // namespace honed::avx2
