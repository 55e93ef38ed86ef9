// Dense weights: what six rows and these registers make of kernels/shared/matmul_dense.h.
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/slots.h"
#include "kernels/shared/matmul_dense.h"

namespace honed::avx2 {
namespace {

constexpr int kMostRows = 6;

// Few rows take the panel in one stream; more take half of it at a time, to keep all sums in registers.
template <int Rows>
inline constexpr int kVectorsOf = Rows <= 2 ? kPanelVectors : kPanelVectors / 2;

struct FloatColumns : shared::ColumnsInOrder<Vector, float, kMostRows> {
  template <int Rows>
  static constexpr int kVectors = kVectorsOf<Rows>;
};

// Sixteen columns are widened as eight even and eight odd ones, one operation each, and put back in order once at the
// end.
struct Bf16Columns {
  using Vector = avx2::Vector;
  using Weight = uint16_t;
  static constexpr int kMostRows = avx2::kMostRows;
  template <int Rows>
  static constexpr int kVectors = kVectorsOf<Rows>;
  static constexpr int kPrefetchBytes = 4096;

  template <int Count>
  static void load(const uint16_t* place, __m256 (&w)[Count]) {
    _mm_prefetch(reinterpret_cast<const char*>(place) + kPrefetchBytes, _MM_HINT_T0);
    const __m256i upper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
#pragma GCC unroll 2
    for (int v = 0; v < Count; v += 2) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place + v * kVector));
      w[v] = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
      w[v + 1] = _mm256_castsi256_ps(_mm256_and_si256(bits, upper));
    }
  }

  template <int Count>
  static void arrange(__m256 (&sums)[Count]) {
#pragma GCC unroll 2
    for (int v = 0; v < Count; v += 2) {
      const __m256 low = _mm256_unpacklo_ps(sums[v], sums[v + 1]);
      const __m256 high = _mm256_unpackhi_ps(sums[v], sums[v + 1]);
      sums[v] = _mm256_permute2f128_ps(low, high, 0x20);
      sums[v + 1] = _mm256_permute2f128_ps(low, high, 0x31);
    }
  }
};

}  // namespace

void matmul_f32(const MatmulArgs& args) { shared::matmul_dense<FloatColumns>(args); }
void matmul_bf16(const MatmulArgs& args) { shared::matmul_dense<Bf16Columns>(args); }

}  // namespace honed::avx2
