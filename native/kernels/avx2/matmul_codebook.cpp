// Indices of sixteen int8 values, in groups, times int8 activations.
//
// A byte shuffle looks up 32 indices. The byte multiply-add wants one unsigned operand: |w|, with the sign of w moved to
// x. Two products stay within int16 because activations never reach -128 (128 * 127 * 2 < 2^15).
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

constexpr int kTileVectors = kTileColumns / kVector;
constexpr int kCellBytes = kTileColumns * 4;
constexpr int kHalfBytes = 4 * kCellBytes;
constexpr int kBlockBytes = 2 * kHalfBytes;
constexpr int kPrefetchBytes = 4096;
constexpr int kMostRows = 4;

// Adds the products of one quad of activations of each row with a vector of weights.
template <int Rows>
[[gnu::always_inline]] inline void add_quad(const Block<Rows>& x, int64_t k, __m256i w, int v,
                                            __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i magnitude = _mm256_abs_epi8(w);
  for (int r = 0; r < Rows; ++r) {
    const __m256i value = _mm256_sign_epi8(broadcast_quad(x.codes[r] + k), w);
    dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, value), ones));
    pin(dots[r][v]);
  }
}

// Adds 32 k to 16 columns.
template <int Rows>
[[gnu::always_inline]] inline void add_half(const Block<Rows>& x, int64_t k, const uint8_t* tile, __m256i table,
                                            __m256i (&dots)[Rows][kTileVectors]) {
  const __m256i nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const uint8_t* cells = tile + i * kCellBytes;
    _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
    for (int v = 0; v < kTileVectors; ++v) {
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(cells + v * 32));
      const __m256i first = _mm256_shuffle_epi8(table, _mm256_and_si256(pairs, nibble));
      const __m256i second = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(pairs, 4), nibble));
      add_quad(x, k + i * 4, first, v, dots);
      add_quad(x, k + kBlock / 2 + i * 4, second, v, dots);
    }
  }
}

template <int Rows>
void multiply_rows(const MatmulArgs& args, __m256i table, int64_t row, int64_t panel) {
  const Block<Rows> x = block_of<Rows>(args, row);
  const uint8_t* bytes = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t code_bytes = args.group / kBlock * kBlockBytes;
  __m256 result[Rows][kPanelVectors];
  for (int r = 0; r < Rows; ++r) {
    for (__m256& sum : result[r]) sum = _mm256_setzero_ps();
  }
  for (int64_t g = 0; g < args.k_padded / args.group; ++g) {
    const auto* scales = reinterpret_cast<const uint16_t*>(bytes + code_bytes);
    for (int half = 0; half < 2; ++half) {
      __m256i dots[Rows][kTileVectors];
      for (int r = 0; r < Rows; ++r) dots[r][0] = dots[r][1] = _mm256_setzero_si256();
      for (int64_t k = 0; k < args.group; k += kBlock) {
        add_half(x, g * args.group + k, bytes + k / kBlock * kBlockBytes + half * kHalfBytes, table, dots);
      }
      for (int v = 0; v < kTileVectors; ++v) {
        const __m256 scale = f16_to_f32(scales + half * kTileColumns + v * kVector);
        for (int r = 0; r < Rows; ++r) {
          __m256 value = _mm256_cvtepi32_ps(dots[r][v]);
          if (args.activation_group != 0) value = _mm256_mul_ps(value, _mm256_broadcast_ss(x.scales[r] + g));
          __m256& sum = result[r][half * kTileVectors + v];
          sum = _mm256_fmadd_ps(value, scale, sum);
        }
      }
    }
    bytes += code_bytes + kPanelColumns * 2;
  }
  for (int r = 0; r < Rows; ++r) {
    if (args.activation_group == 0) {
      for (__m256& sum : result[r]) sum = _mm256_mul_ps(sum, _mm256_broadcast_ss(x.scales[r]));
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

}  // namespace

void matmul_codebook(const MatmulArgs& args) {
  const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(args.codebook));
  const __m256i table = _mm256_broadcastsi128_si256(values);
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    int64_t row = args.row_begin;
    for (; row + kMostRows <= args.row_end; row += kMostRows) multiply_rows<kMostRows>(args, table, row, panel);
    for (; row + 2 <= args.row_end; row += 2) multiply_rows<2>(args, table, row, panel);
    for (; row < args.row_end; ++row) multiply_rows<1>(args, table, row, panel);
  }
}

}  // namespace honed::avx2
