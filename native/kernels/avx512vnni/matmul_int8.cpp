// int8 weights times int8 activations: exact int32 dot products, over the whole of k or over groups.
//
// vpdpbusd multiplies unsigned by signed bytes. Flipping the top bit of a weight adds 128 to it and makes it
// unsigned; starting the accumulator at -128 * (sum of the activations) takes that away again, exactly.
#include "kernels/avx512vnni/epilogue.h"
#include "kernels/avx512vnni/rows.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostRows = 8;         // 16 integer accumulators
constexpr int kMostGroupedRows = 6;  // 12, and as many again for the float sums over groups
constexpr int64_t kQuadBytes = kPanelColumns * 4;
constexpr int kBlockQuads = kBlock / 4;

// Starts the dot products of `blocks` blocks of 32 k with what the flipped top bits will add.
template <int Rows>
[[gnu::always_inline]] inline void start(const RowBlock& x, int64_t first, int64_t blocks, Dots<Rows>& dots) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    const int32_t* sums = x.sums(r) + first;
    int32_t total = sums[0];
    for (int64_t block = 1; block < blocks; ++block) total += sums[block];
    dots.low[r] = dots.high[r] = _mm512_set1_epi32(-128 * total);
  }
}

// Adds the eight quads of 32 k from k on; the next panel lies `next` bytes further. The panel at hand is one ascending
// stream, which the processor prefetches better by itself: asking for its lines made one row no faster and four rows
// half as fast (docs/measurements/kernels-avx512.md).
template <int Rows, Ahead Lines>
[[gnu::always_inline]] inline void add_block(const RowBlock& x, int64_t k, const int8_t* cells, int64_t next,
                                             Dots<Rows>& dots) {
  const __m512i top_bit = _mm512_set1_epi8(-128);
#pragma GCC unroll 8
  for (int quad = 0; quad < kBlockQuads; ++quad, cells += kQuadBytes) {
    prefetch_even<Lines>(cells + next);
    prefetch_odd<Lines>(cells + next + kQuadBytes / 2);
    const __m512i low = _mm512_xor_si512(_mm512_loadu_si512(cells), top_bit);
    const __m512i high = _mm512_xor_si512(_mm512_loadu_si512(cells + kQuadBytes / 2), top_bit);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512i activation = broadcast_quad(x.codes(r) + k + quad * 4);
      dots.low[r] = _mm512_dpbusd_epi32(dots.low[r], low, activation);
      dots.high[r] = _mm512_dpbusd_epi32(dots.high[r], high, activation);
    }
  }
}

// Dot products of `blocks` blocks of 32 k from `first` on, which `cells` holds.
template <int Rows, Ahead Lines>
[[gnu::always_inline]] inline void dot(const RowBlock& x, const int8_t* cells, int64_t next, int64_t first,
                                       int64_t blocks, Dots<Rows>& dots) {
  start(x, first, blocks, dots);
  for (int64_t block = 0; block < blocks; ++block) {
    add_block<Rows, Lines>(x, (first + block) * kBlock, cells + block * kBlock * kPanelColumns, next, dots);
  }
}

template <int Rows, Ahead Lines>
void column_scaled(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const __m512 low_scale = _mm512_loadu_ps(column_scales);
  const __m512 high_scale = _mm512_loadu_ps(column_scales + kVector);
  const RowBlock x = rows_from(args, row);
  Dots<Rows> dots;
  dot<Rows, Lines>(x, weights, args.panel_bytes, 0, args.k_padded / kBlock, dots);
#pragma GCC unroll 8  // rolled, this loop alone would keep the accumulators in memory throughout
  for (int r = 0; r < Rows; ++r) {
    const __m512 row_scale = _mm512_set1_ps(x.scales(r)[0]);
    const __m512 low = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.low[r]), row_scale);
    const __m512 high = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.high[r]), row_scale);
    finish_panel(args, row + r, panel, {_mm512_mul_ps(low, low_scale), _mm512_mul_ps(high, high_scale)});
  }
}

template <int Rows>
[[gnu::always_inline]] inline void clear(PanelResult (&result)[Rows]) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) result[r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
}

template <int Rows, Ahead Lines>
void column_scaled_in_groups(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* weights = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const RowBlock x = rows_from(args, row);
  PanelResult result[Rows];
  clear(result);
  for (int64_t begin = 0, g = 0; begin < args.k_padded; begin += args.activation_group, ++g) {
    const int64_t stop = begin + args.activation_group;
    const int64_t k = (stop < args.k_padded ? stop : args.k_padded) - begin;
    Dots<Rows> dots;
    dot<Rows, Lines>(x, weights + begin * kPanelColumns, args.panel_bytes, begin / kBlock, k / kBlock, dots);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const __m512 scale = _mm512_set1_ps(x.scales(r)[g]);
      result[r].low = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots.low[r]), scale, result[r].low);
      result[r].high = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots.high[r]), scale, result[r].high);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    finish_panel(args, row + r, panel, {_mm512_mul_ps(result[r].low, _mm512_loadu_ps(column_scales)),
                                        _mm512_mul_ps(result[r].high, _mm512_loadu_ps(column_scales + kVector))});
  }
}

// Adds the dot products of group g to the results, with the weights' 32 scales of the group. The activations have the
// same groups (InGroups) or one scale a row.
template <int Rows, bool InGroups>
[[gnu::always_inline]] inline void add_group(const RowBlock& x, int64_t g, const Dots<Rows>& dots, const int8_t* scales,
                                             PanelResult* result) {
  const __m512 low_scale = f16_to_f32(scales);
  const __m512 high_scale = f16_to_f32(scales + kVector * 2);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    __m512 low = _mm512_cvtepi32_ps(dots.low[r]);
    __m512 high = _mm512_cvtepi32_ps(dots.high[r]);
    if constexpr (InGroups) {
      const __m512 scale = _mm512_set1_ps(x.scales(r)[g]);
      low = _mm512_mul_ps(low, scale);
      high = _mm512_mul_ps(high, scale);
    }
    result[r].low = _mm512_fmadd_ps(low, low_scale, result[r].low);
    result[r].high = _mm512_fmadd_ps(high, high_scale, result[r].high);
  }
}

template <int Rows, bool InGroups>
[[gnu::always_inline]] inline void finish_rows(const MatmulArgs& args, const RowBlock& x, int64_t row, int64_t panel,
                                               const PanelResult* result) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    PanelResult sum = result[r];
    if constexpr (!InGroups) {
      const __m512 scale = _mm512_set1_ps(x.scales(r)[0]);
      sum = {_mm512_mul_ps(sum.low, scale), _mm512_mul_ps(sum.high, scale)};
    }
    finish_panel(args, row + r, panel, sum);
  }
}

// Blocks: of a group, 0 where that is known only now. Counting a group of one block costs up to a quarter of the time.
template <int Rows, Ahead Lines, bool InGroups, int Blocks>
void group_scaled(const MatmulArgs& args, int64_t row, int64_t panel) {
  const int8_t* cells = static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
  const int64_t blocks = Blocks != 0 ? Blocks : args.group / kBlock;
  const int64_t code_bytes = blocks * kBlock * kPanelColumns;
  const RowBlock x = rows_from(args, row);
  PanelResult result[Rows];
  clear(result);
  for (int64_t g = 0; g < args.k_padded / (blocks * kBlock); ++g) {
    Dots<Rows> dots;
    prefetch_even<Lines>(cells + code_bytes + args.panel_bytes);
    dot<Rows, Lines>(x, cells, args.panel_bytes, g * blocks, blocks, dots);
    add_group<Rows, InGroups>(x, g, dots, cells + code_bytes, result);
    cells += code_bytes + kPanelColumns * 2;
  }
  finish_rows<Rows, InGroups>(args, x, row, panel, result);
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    const auto grouped = [&]<int Rows, Ahead Lines>(int64_t row) {
      if (args.activation_group == 0) return group_scaled<Rows, Lines, false, 0>(args, row, panel);
      if (args.group == kBlock) return group_scaled<Rows, Lines, true, 1>(args, row, panel);
      return group_scaled<Rows, Lines, true, 0>(args, row, panel);
    };
    const auto in_groups = [&]<int Rows, Ahead Lines>(int64_t row) {
      column_scaled_in_groups<Rows, Lines>(args, row, panel);
    };
    const auto whole = [&]<int Rows, Ahead Lines>(int64_t row) { column_scaled<Rows, Lines>(args, row, panel); };
    if (args.group != 0) for_blocks_streaming<kMostGroupedRows>(args.row_begin, args.row_end, grouped);
    else if (args.activation_group == 0) for_blocks_streaming<kMostRows>(args.row_begin, args.row_end, whole);
    else for_blocks_streaming<kMostGroupedRows>(args.row_begin, args.row_end, in_groups);
  }
}

}  // namespace honed::avx512vnni
