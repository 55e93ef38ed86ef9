// int4 weights in groups times int8 activations: exact int32 dot products of each group in tiles, then float. The codes
// of a panel are widened to bytes once and serve all rows of the call.
#include "kernels/amx/groups.h"
#include "kernels/amx/slots.h"

namespace honed::amx {
namespace {

constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;
constexpr int64_t kHalfBytes = kBlockBytes / 2;
// k that are widened at a time: 128 KiB of the second cache. Matrices deeper than that are widened again for every two
// tiles of rows, which is an eighth of their work.
constexpr int64_t kWidenedDepth = 4096;

int64_t group_bytes(const MatmulArgs& args) {
  const int64_t bytes = args.group / kBlock * kBlockBytes + kPanelColumns * 2;
  if (args.offset == Int4Offset::zero_point) return bytes + kPanelColumns;
  return args.offset == Int4Offset::minimum ? bytes + kPanelColumns * 2 : bytes;
}

// Widened codes, [quads][32 columns][4 k]; signed where the offset is symmetric, else from 0 to 15.
struct alignas(64) Widened {
  uint8_t codes[kWidenedDepth * kPanelColumns];
};

// One block of 32 k: row i of a half holds quad i in the low nibbles and quad i + 4 in the high ones.
void widen_block(const uint8_t* block, __m512i zero, uint8_t* widened) {
  const __m512i nibble = _mm512_set1_epi8(15);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) {
      const __m512i cells = _mm512_loadu_si512(block + half * kHalfBytes + i * kRowBytes);
      const __m512i first = _mm512_and_si512(cells, nibble);
      const __m512i second = _mm512_and_si512(_mm512_srli_epi16(cells, 4), nibble);
      uint8_t* place = widened + i * kQuadBytes + half * kRowBytes;
      _mm512_store_si512(place, _mm512_sub_epi8(first, zero));
      _mm512_store_si512(place + 4 * kQuadBytes, _mm512_sub_epi8(second, zero));
    }
  }
}

// Groups [begin, end) of a panel. Those of the panel behind it are asked for.
void widen(const MatmulArgs& args, const uint8_t* panel, int64_t begin, int64_t end, Widened& widened) {
  const __m512i zero = _mm512_set1_epi8(args.offset == Int4Offset::symmetric ? 8 : 0);
  uint8_t* place = widened.codes;
  for (int64_t g = begin; g < end; ++g) {
    const uint8_t* codes = panel + g * group_bytes(args);
    prefetch(reinterpret_cast<const char*>(codes) + args.panel_bytes, group_bytes(args));
    for (int64_t block = 0; block < args.group / kBlock; ++block) {
      widen_block(codes + block * kBlockBytes, zero, place);
      place += kBlock * kPanelColumns;
    }
  }
  finish_stores();
}

// Groups of a panel; the widened codes begin with those of group `widened_from`. One scale a row of activations, or one
// a group.
template <bool RowGroups, Int4Offset Offset>
struct Groups {
  const MatmulArgs& args;
  const uint8_t* panel;
  const Widened& widened;
  int64_t widened_from;

  struct Terms {
    __m512 low_scale, high_scale;
    __m512 low_offset, high_offset;  // zero points or minimums
  };
  int64_t depth() const { return args.group < kTileDepth ? args.group : kTileDepth; }
  int64_t first_k(int64_t g) const { return g * args.group; }
  Weights weights(int64_t g) const {
    return {widened.codes + (g - widened_from) * args.group * kPanelColumns, args.group / depth()};
  }
  static int64_t ahead() { return 0; }
  Terms terms(int64_t g) const {
    const uint8_t* scales = panel + g * group_bytes(args) + args.group / kBlock * kBlockBytes;
    const uint8_t* offsets = scales + kPanelColumns * 2;
    Terms terms{f16_to_f32(scales), f16_to_f32(scales + kVector * 2), _mm512_setzero_ps(), _mm512_setzero_ps()};
    if constexpr (Offset == Int4Offset::zero_point) {
      terms.low_offset = zero_points(offsets);
      terms.high_offset = zero_points(offsets + kVector);
    }
    if constexpr (Offset == Int4Offset::minimum) {
      terms.low_offset = f16_to_f32(offsets);
      terms.high_offset = f16_to_f32(offsets + kVector * 2);
    }
    return terms;
  }
  void add(const Terms& terms, int64_t row, int64_t g, PanelResult dot, PanelResult& sum) const {
    [[maybe_unused]] __m512 total = _mm512_setzero_ps();
    if constexpr (Offset != Int4Offset::symmetric) total = activation_sum(args, row, g);
    if constexpr (Offset == Int4Offset::zero_point) {
      // Exact in float: products and differences stay below 2^24, with zero points up to 255 and 128 codes too.
      dot = {_mm512_fnmadd_ps(terms.low_offset, total, dot.low), _mm512_fnmadd_ps(terms.high_offset, total, dot.high)};
    }
    if constexpr (RowGroups) {
      const __m512 scale = _mm512_set1_ps(row_scales(args, row)[g]);
      dot = {_mm512_mul_ps(dot.low, scale), _mm512_mul_ps(dot.high, scale)};
      total = _mm512_mul_ps(total, scale);
    }
    sum.low = _mm512_fmadd_ps(dot.low, terms.low_scale, sum.low);
    sum.high = _mm512_fmadd_ps(dot.high, terms.high_scale, sum.high);
    if constexpr (Offset == Int4Offset::minimum) {
      sum.low = _mm512_fmadd_ps(total, terms.low_offset, sum.low);
      sum.high = _mm512_fmadd_ps(total, terms.high_offset, sum.high);
    }
  }
  PanelResult finish(int64_t row, const PanelResult& sum) const {
    if constexpr (RowGroups) return sum;
    const __m512 scale = _mm512_set1_ps(row_scales(args, row)[0]);
    return {_mm512_mul_ps(sum.low, scale), _mm512_mul_ps(sum.high, scale)};
  }

 private:
  static __m512 zero_points(const uint8_t* source) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
  }
};

template <bool RowGroups, Int4Offset Offset>
void multiply_panels(const MatmulArgs& args) {
  const RowTiles rows = RowTiles::over(args.row_begin, args.row_end);
  const Tiles tiles(rows.height, args.group < kTileDepth ? args.group : kTileDepth);
  const int64_t count = args.k_padded / args.group;
  const int64_t chunk = kWidenedDepth / args.group;
  Widened widened;
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    Groups<RowGroups, Offset> groups{args, static_cast<const uint8_t*>(args.panels) + panel * args.panel_bytes, widened,
                                     -1};
    for_tiles(rows, [&]<int Count>(int64_t tile) {
      Sums sums;
      sums.clear();
      for (int64_t begin = 0; begin < count; begin += chunk) {
        const int64_t end = begin + chunk < count ? begin + chunk : count;
        if (groups.widened_from != begin) widen(args, groups.panel, begin, end, widened);
        groups.widened_from = begin;
        sum_groups<Count>(args, groups, begin, end, rows, tile, sums);
      }
      finish_rows<Count>(args, groups, rows, tile, panel, sums);
    });
  }
}

template <bool RowGroups>
void multiply_with_offset(const MatmulArgs& args) {
  switch (args.offset) {
    case Int4Offset::symmetric: return multiply_panels<RowGroups, Int4Offset::symmetric>(args);
    case Int4Offset::zero_point: return multiply_panels<RowGroups, Int4Offset::zero_point>(args);
    case Int4Offset::minimum: return multiply_panels<RowGroups, Int4Offset::minimum>(args);
  }
}

}  // namespace

void matmul_int4(const MatmulArgs& args) {
  const int64_t fewest = args.group == kBlock ? kFewestWidenedRowsInBlocks : kFewestWidenedRows;
  if (args.row_end - args.row_begin < fewest) return __atomic_load_n(&below.matmul_int4, __ATOMIC_RELAXED)(args);
  if (args.activation_group == 0) return multiply_with_offset<false>(args);
  multiply_with_offset<true>(args);
}

}  // namespace honed::amx
