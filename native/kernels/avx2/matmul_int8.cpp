// int8 weights times int8 activations: exact int32 dot products, over the whole of k or over groups.
//
// The byte multiply-add of AVX2 wants one unsigned operand: |w|, with the sign of w moved to x. Two products stay
// within int16 because activations never reach -128 (127 * 128 * 2 < 2^15, so even a weight of -128 is exact).
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

constexpr int kTileVectors = kTileColumns / kVector;
constexpr int kQuadBytes = kPanelColumns * 4;
constexpr int kHalfQuadBytes = kTileColumns * 4;
constexpr int kPrefetchBytes = 4096;

// One activation scale for the row, or one for each group.
enum class Scales { row, group };

// Adds `Quads` quads to the dot products of 16 columns of a panel; activations start at k.
template <int Rows, int Quads>
[[gnu::always_inline]] inline void add_quads(const Block<Rows>& x, int64_t k, const int8_t* first,
                                             __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 16
  for (int quad = 0; quad < Quads; ++quad) {
    const int8_t* cells = first + quad * kQuadBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(cells));
    const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(cells + 32));
    const __m256i magnitude0 = _mm256_abs_epi8(w0);
    const __m256i magnitude1 = _mm256_abs_epi8(w1);
    for (int r = 0; r < Rows; ++r) {
      const __m256i value = broadcast_quad(x.codes[r] + k + quad * 4);
      const __m256i pairs0 = _mm256_maddubs_epi16(magnitude0, _mm256_sign_epi8(value, w0));
      const __m256i pairs1 = _mm256_maddubs_epi16(magnitude1, _mm256_sign_epi8(value, w1));
      dots[r][0] = _mm256_add_epi32(dots[r][0], _mm256_madd_epi16(pairs0, ones));
      dots[r][1] = _mm256_add_epi32(dots[r][1], _mm256_madd_epi16(pairs1, ones));
      pin(dots[r][0]);
      pin(dots[r][1]);
    }
  }
}

template <int Rows>
inline void clear(__m256i (&dots)[Rows][kTileVectors]) {
  for (int r = 0; r < Rows; ++r) dots[r][0] = dots[r][1] = _mm256_setzero_si256();
}

// One scale a row and one a column.
template <int Rows>
inline void row_scaled(const MatmulArgs& args, const Block<Rows>& x, const int8_t* panel, const float* column_scales,
                       __m256 (&result)[Rows][kPanelVectors]) {
  __m256i dots[2][Rows][kTileVectors];
  clear(dots[0]);
  clear(dots[1]);
  for (int64_t k = 0; k < args.k_padded; k += kTileDepth) {
    const int8_t* cells = panel + k * kPanelColumns;
    add_quads<Rows, kTileDepth / 4>(x, k, cells, dots[0]);
    add_quads<Rows, kTileDepth / 4>(x, k, cells + kHalfQuadBytes, dots[1]);
  }
  for (int r = 0; r < Rows; ++r) {
    const __m256 row_scale = _mm256_set1_ps(x.scales[r][0]);
    for (int v = 0; v < kPanelVectors; ++v) {
      const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[v / 2][r][v % 2]), row_scale);
      result[r][v] = _mm256_mul_ps(value, _mm256_loadu_ps(column_scales + v * kVector));
    }
  }
}

// One scale a column, activation groups, in runs of `Quads` quads that lie together.
template <int Rows, int Quads>
inline void activation_grouped(const MatmulArgs& args, const Block<Rows>& x, const int8_t* panel,
                               const float* column_scales, __m256 (&result)[Rows][kPanelVectors]) {
  for (int64_t begin = 0; begin < args.k_padded; begin += args.activation_group) {
    const int64_t group_end = begin + args.activation_group;
    const int64_t end = group_end < args.k_padded ? group_end : args.k_padded;
    for (int half = 0; half < 2; ++half) {
      __m256i dots[Rows][kTileVectors];
      clear(dots);
      for (int64_t k = begin; k < end; k += Quads * 4) {
        add_quads<Rows, Quads>(x, k, panel + k * kPanelColumns + half * kHalfQuadBytes, dots);
      }
      for (int r = 0; r < Rows; ++r) {
        const __m256 scale = _mm256_set1_ps(x.scales[r][begin / args.activation_group]);
        for (int v = 0; v < kTileVectors; ++v) {
          __m256& sum = result[r][half * kTileVectors + v];
          sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r][v]), scale, sum);
        }
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) {
      result[r][v] = _mm256_mul_ps(result[r][v], _mm256_loadu_ps(column_scales + v * kVector));
    }
  }
}

// Weight groups, with one activation scale a row or the same groups, in runs of `Quads` quads.
template <int Rows, int Quads, Scales Activations>
inline void weight_grouped(const MatmulArgs& args, const Block<Rows>& x, const int8_t* panel,
                           __m256 (&result)[Rows][kPanelVectors]) {
  const int64_t code_bytes = args.group * kPanelColumns;
  const int8_t* codes = panel;
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const uint16_t* scales = reinterpret_cast<const uint16_t*>(codes + code_bytes);
    for (int half = 0; half < 2; ++half) {
      __m256i dots[Rows][kTileVectors];
      clear(dots);
      for (int64_t k = 0; k < args.group; k += Quads * 4) {
        add_quads<Rows, Quads>(x, g * args.group + k, codes + k * kPanelColumns + half * kHalfQuadBytes, dots);
      }
      for (int v = 0; v < kTileVectors; ++v) {
        const __m256 w_scale = f16_to_f32(scales + half * kTileColumns + v * kVector);
        for (int r = 0; r < Rows; ++r) {
          __m256 value = _mm256_cvtepi32_ps(dots[r][v]);
          if constexpr (Activations == Scales::group) {
            value = _mm256_mul_ps(value, _mm256_broadcast_ss(x.scales[r] + g));
          }
          __m256& sum = result[r][half * kTileVectors + v];
          sum = _mm256_fmadd_ps(value, w_scale, sum);
        }
      }
    }
    codes += code_bytes + kPanelColumns * 2;
  }
  if constexpr (Activations == Scales::row) {
    for (int r = 0; r < Rows; ++r) {
      for (__m256& sum : result[r]) sum = _mm256_mul_ps(sum, _mm256_broadcast_ss(x.scales[r]));
    }
  }
}

// Dot products of every mode, scaled.
template <int Rows>
inline void multiply(const MatmulArgs& args, const Block<Rows>& x, int64_t panel,
                     __m256 (&result)[Rows][kPanelVectors]) {
  constexpr int kBlockQuads = kBlock / 4;
  constexpr int kTileQuads = kTileDepth / 4;
  const int8_t* codes = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  if (args.group == 0) {
    const float* column_scales = args.column_scales + panel * kPanelColumns;
    if (args.activation_group == 0) return row_scaled(args, x, codes, column_scales, result);
    if (args.activation_group == kBlock) {
      return activation_grouped<Rows, kBlockQuads>(args, x, codes, column_scales, result);
    }
    return activation_grouped<Rows, kTileQuads>(args, x, codes, column_scales, result);
  }
  if (args.activation_group == 0) return weight_grouped<Rows, kBlockQuads, Scales::row>(args, x, codes, result);
  if (args.group == kBlock) return weight_grouped<Rows, kBlockQuads, Scales::group>(args, x, codes, result);
  return weight_grouped<Rows, kTileQuads, Scales::group>(args, x, codes, result);
}

template <int Rows>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const Block<Rows> x = block_of<Rows>(args, row);
  __m256 result[Rows][kPanelVectors];
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) result[r][v] = _mm256_setzero_ps();
  }
  multiply(args, x, panel, result);
  for (int r = 0; r < Rows; ++r) finish_panel(args, row + r, panel, result[r]);
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    int64_t row = args.row_begin;
    for (; row + 4 <= args.row_end; row += 4) run_rows<4>(args, row, panel);
    for (; row + 2 <= args.row_end; row += 2) run_rows<2>(args, row, panel);
    for (; row < args.row_end; ++row) run_rows<1>(args, row, panel);
  }
}

}  // namespace honed::avx2
