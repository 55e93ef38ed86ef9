// int4 weights in groups times int8 activations: exact int32 dot products of each group, then float.
//
// Codes 0 to 15 are the unsigned operand of the byte multiply-add as they are. Eight results of it fit int16
// (15 * 128 * 2 * 8 < 2^15), so a block of 32 k is widened to int32 once.
#include "kernels/avx2/epilogue.h"
#include "kernels/avx2/rows.h"
#include "kernels/avx2/slots.h"

namespace honed::avx2 {
namespace {

constexpr int kTileVectors = kTileColumns / kVector;
constexpr int kCellBytes = kTileColumns * 4;
constexpr int kHalfBlockBytes = 4 * kCellBytes;
constexpr int kBlockBytes = 2 * kHalfBlockBytes;
constexpr int kPrefetchBytes = 4096;

// One activation scale for the row, or one for each group.
enum class Scales { row, group };

// Dot products of one block of 32 k with the raw codes of `Vectors` vectors of columns, from vector `first`: int16,
// two for each column.
template <int Rows, int Vectors>
[[gnu::always_inline]] inline void dot_block(const Block<Rows>& x, int64_t k, const uint8_t* block, int first,
                                             __m256i (&words)[Rows][Vectors]) {
  const __m256i low_nibble = _mm256_set1_epi8(15);
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) words[r][v] = _mm256_setzero_si256();
  }
#pragma GCC unroll 4
  for (int64_t i = 0; i < 4; ++i) {
    __m256i low[Vectors];
    __m256i high[Vectors];
    for (int v = 0; v < Vectors; ++v) {
      const int half = (first + v) / kTileVectors;
      const uint8_t* cells = block + half * kHalfBlockBytes + i * kCellBytes + (first + v) % kTileVectors * 32;
      if (v % kTileVectors == 0) _mm_prefetch(reinterpret_cast<const char*>(cells + kPrefetchBytes), _MM_HINT_T0);
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(cells));
      low[v] = _mm256_and_si256(bytes, low_nibble);
      high[v] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low_nibble);
    }
    for (int r = 0; r < Rows; ++r) {
      const __m256i value = broadcast_quad(x.codes[r] + k + i * 4);
      for (int v = 0; v < Vectors; ++v) {
        words[r][v] = _mm256_add_epi16(words[r][v], _mm256_maddubs_epi16(low[v], value));
        pin(words[r][v]);
      }
    }
    for (int r = 0; r < Rows; ++r) {
      const __m256i value = broadcast_quad(x.codes[r] + k + 16 + i * 4);
      for (int v = 0; v < Vectors; ++v) {
        words[r][v] = _mm256_add_epi16(words[r][v], _mm256_maddubs_epi16(high[v], value));
        pin(words[r][v]);
      }
    }
  }
}

// Dot products of one group, int32, with the raw codes.
template <int Rows, int Vectors>
[[gnu::always_inline]] inline void dot_group(const Block<Rows>& x, int64_t k, const uint8_t* group, int64_t blocks,
                                             int first, __m256i (&dots)[Rows][Vectors]) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i words[Rows][Vectors];
  dot_block(x, k, group, first, words);
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) dots[r][v] = _mm256_madd_epi16(words[r][v], ones);
  }
  for (int64_t b = 1; b < blocks; ++b) {
    dot_block(x, k + b * kBlock, group + b * kBlockBytes, first, words);
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < Vectors; ++v) {
        dots[r][v] = _mm256_add_epi32(dots[r][v], _mm256_madd_epi16(words[r][v], ones));
      }
    }
  }
}

// Scales and offsets of 8 columns of a group.
struct Scale {
  __m256 scale;
  __m256i zero;
  __m256 minimum;
};

template <Int4Offset Offset>
inline Scale scale_of(const uint8_t* scales, int first_column) {
  Scale scale;
  scale.scale = f16_to_f32(reinterpret_cast<const uint16_t*>(scales) + first_column);
  scale.zero = _mm256_setzero_si256();
  scale.minimum = _mm256_setzero_ps();
  const uint8_t* offsets = scales + kPanelColumns * 2;
  if constexpr (Offset == Int4Offset::zero_point) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(offsets + first_column));
    scale.zero = _mm256_cvtepu8_epi32(bytes);
  }
  if constexpr (Offset == Int4Offset::minimum) {
    scale.minimum = f16_to_f32(reinterpret_cast<const uint16_t*>(offsets) + first_column);
  }
  return scale;
}

// The float step of one group for 8 columns of one row.
template <Int4Offset Offset, Scales Activations>
inline __m256 add_group(__m256i dots, int32_t sum, const Scale& w, const float* x_scales, int64_t g, __m256 result) {
  if constexpr (Offset == Int4Offset::symmetric) {
    dots = _mm256_sub_epi32(dots, _mm256_set1_epi32(8 * sum));
  }
  if constexpr (Offset == Int4Offset::zero_point) {
    // A group's sum fits int16 (128 * 127), so zero * sum is one 16-bit multiply-add with an empty upper half.
    dots = _mm256_sub_epi32(dots, _mm256_madd_epi16(w.zero, _mm256_set1_epi32(sum & 0xffff)));
  }
  __m256 value = _mm256_cvtepi32_ps(dots);
  if constexpr (Activations == Scales::group) value = _mm256_mul_ps(value, _mm256_broadcast_ss(x_scales + g));
  result = _mm256_fmadd_ps(value, w.scale, result);
  if constexpr (Offset == Int4Offset::minimum) {
    float total = static_cast<float>(sum);
    if constexpr (Activations == Scales::group) total = total * x_scales[g];
    result = _mm256_fmadd_ps(_mm256_set1_ps(total), w.minimum, result);
  }
  return result;
}

template <Int4Offset Offset>
int64_t group_bytes(int64_t blocks) {
  const int64_t bytes = blocks * kBlockBytes + kPanelColumns * 2;
  if constexpr (Offset == Int4Offset::zero_point) return bytes + kPanelColumns;
  return Offset == Int4Offset::minimum ? bytes + kPanelColumns * 2 : bytes;
}

// Blocks: of a group, 0 where that is known only now.
template <int Rows, Int4Offset Offset, Scales Activations, int Blocks>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel) {
  const Block<Rows> x = block_of<Rows>(args, row);
  const uint8_t* group = static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t blocks = Blocks != 0 ? Blocks : args.group / kBlock;
  constexpr int Vectors = Rows <= 1 ? kPanelVectors : kTileVectors;
  __m256 result[Rows][kPanelVectors];
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kPanelVectors; ++v) result[r][v] = _mm256_setzero_ps();
  }
  for (int64_t g = 0; g < args.k_padded / (blocks * kBlock); ++g) {
    int32_t sums[Rows] = {};
    for (int r = 0; r < Rows; ++r) {
      for (int64_t b = 0; b < blocks; ++b) sums[r] += x.sums[r][g * blocks + b];
    }
    for (int first = 0; first < kPanelVectors; first += Vectors) {
      __m256i dots[Rows][Vectors];
      dot_group(x, g * blocks * kBlock, group, blocks, first, dots);
      for (int v = 0; v < Vectors; ++v) {
        const Scale w = scale_of<Offset>(group + blocks * kBlockBytes, (first + v) * kVector);
        for (int r = 0; r < Rows; ++r) {
          __m256& sum = result[r][first + v];
          sum = add_group<Offset, Activations>(dots[r][v], sums[r], w, x.scales[r], g, sum);
        }
      }
    }
    group += group_bytes<Offset>(blocks);
  }
  for (int r = 0; r < Rows; ++r) {
    if constexpr (Activations == Scales::row) {
      for (__m256& sum : result[r]) sum = _mm256_mul_ps(sum, _mm256_broadcast_ss(x.scales[r]));
    }
    finish_panel(args, row + r, panel, result[r]);
  }
}

template <Int4Offset Offset, Scales Activations, int Blocks>
void run_panels(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    int64_t row = args.row_begin;
    for (; row + 4 <= args.row_end; row += 4) run_rows<4, Offset, Activations, Blocks>(args, row, panel);
    for (; row + 2 <= args.row_end; row += 2) run_rows<2, Offset, Activations, Blocks>(args, row, panel);
    for (; row < args.row_end; ++row) run_rows<1, Offset, Activations, Blocks>(args, row, panel);
  }
}

template <Int4Offset Offset>
void run(const MatmulArgs& args) {
  if (args.activation_group == 0) return run_panels<Offset, Scales::row, 0>(args);
  if (args.group == kBlock) return run_panels<Offset, Scales::group, 1>(args);
  return run_panels<Offset, Scales::group, 0>(args);
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  switch (args.offset) {
    case Int4Offset::symmetric:
      return run<Int4Offset::symmetric>(args);
    case Int4Offset::zero_point:
      return run<Int4Offset::zero_point>(args);
    case Int4Offset::minimum:
      return run<Int4Offset::minimum>(args);
  }
}

}  // namespace honed::avx2
