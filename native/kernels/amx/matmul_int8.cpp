// int8 weights times int8 activations: exact int32 dot products in tiles, over the whole of k or over groups.
#include "kernels/amx/groups.h"
#include "kernels/amx/slots.h"

namespace honed::amx {
namespace {

const int8_t* panel_codes(const MatmulArgs& args, int64_t panel) {
  return static_cast<const int8_t*>(args.panels) + panel * args.panel_bytes;
}

template <int Count>
void column_scaled(const MatmulArgs& args, const RowTiles& tiles, int64_t tile, int64_t panel) {
  const float* column_scales = args.column_scales + panel * kPanelColumns;
  const __m512 low_scale = _mm512_loadu_ps(column_scales);
  const __m512 high_scale = _mm512_loadu_ps(column_scales + kVector);
  Dots dots;
  multiply(activations<Count>(args, tiles, tile, 0), kTileDepth,
           {panel_codes(args, panel), args.k_padded / kTileDepth}, tile == 0 ? args.panel_bytes : 0, dots);
  for (int i = 0; i < Count; ++i) {
    const int64_t first = tiles.first(tile + i);
    for (int64_t r = tiles.shared(tile + i); r < tiles.height; ++r) {
      const __m512 row_scale = _mm512_set1_ps(row_scales(args, first + r)[0]);
      const __m512 low = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.row(i, 0, r)), row_scale);
      const __m512 high = _mm512_mul_ps(_mm512_cvtepi32_ps(dots.row(i, 1, r)), row_scale);
      finish_panel(args, first + r, panel, {_mm512_mul_ps(low, low_scale), _mm512_mul_ps(high, high_scale)});
    }
  }
}

// One scale a column of weights, one a group of activations.
struct ActivationGroups {
  const MatmulArgs& args;
  const int8_t* codes;
  const float* column_scales;

  ActivationGroups(const MatmulArgs& a, int64_t panel)
      : args(a), codes(panel_codes(a, panel)), column_scales(a.column_scales + panel * kPanelColumns) {}

  struct Terms {};
  int64_t count() const { return (args.k_padded + args.activation_group - 1) / args.activation_group; }
  int64_t depth() const { return args.activation_group < kTileDepth ? args.activation_group : kTileDepth; }
  int64_t first_k(int64_t g) const { return g * args.activation_group; }
  Weights weights(int64_t g) const {
    const int64_t begin = first_k(g);
    const int64_t end = begin + args.activation_group < args.k_padded ? begin + args.activation_group : args.k_padded;
    return {codes + begin * kPanelColumns, (end - begin) / depth()};
  }
  int64_t ahead() const { return args.panel_bytes; }
  Terms terms(int64_t) const { return {}; }
  void add(const Terms&, int64_t row, int64_t g, const PanelResult& dot, PanelResult& sum) const {
    const __m512 scale = _mm512_set1_ps(row_scales(args, row)[g]);
    sum.low = _mm512_fmadd_ps(dot.low, scale, sum.low);
    sum.high = _mm512_fmadd_ps(dot.high, scale, sum.high);
  }
  PanelResult finish(int64_t, const PanelResult& sum) const {
    return {_mm512_mul_ps(sum.low, _mm512_loadu_ps(column_scales)),
            _mm512_mul_ps(sum.high, _mm512_loadu_ps(column_scales + kVector))};
  }
};

// Groups of weights with scales of their own; one scale a row of activations, or one a group.
template <bool RowGroups>
struct WeightGroups {
  const MatmulArgs& args;
  const int8_t* codes;

  WeightGroups(const MatmulArgs& a, int64_t panel) : args(a), codes(panel_codes(a, panel)) {}

  struct Terms {
    __m512 low, high;  // scales
  };
  int64_t count() const { return args.k_padded / args.group; }
  int64_t depth() const { return args.group < kTileDepth ? args.group : kTileDepth; }
  int64_t first_k(int64_t g) const { return g * args.group; }
  const int8_t* group(int64_t g) const { return codes + g * (args.group + 2) * kPanelColumns; }
  Weights weights(int64_t g) const { return {group(g), args.group / depth()}; }
  int64_t ahead() const { return args.panel_bytes; }
  Terms terms(int64_t g) const {
    const int8_t* scales = group(g) + args.group * kPanelColumns;
    return {f16_to_f32(scales), f16_to_f32(scales + kVector * 2)};
  }
  void add(const Terms& scales, int64_t row, int64_t g, PanelResult dot, PanelResult& sum) const {
    if constexpr (RowGroups) {
      const __m512 scale = _mm512_set1_ps(row_scales(args, row)[g]);
      dot = {_mm512_mul_ps(dot.low, scale), _mm512_mul_ps(dot.high, scale)};
    }
    sum.low = _mm512_fmadd_ps(dot.low, scales.low, sum.low);
    sum.high = _mm512_fmadd_ps(dot.high, scales.high, sum.high);
  }
  PanelResult finish(int64_t row, const PanelResult& sum) const {
    if constexpr (RowGroups) return sum;
    const __m512 scale = _mm512_set1_ps(row_scales(args, row)[0]);
    return {_mm512_mul_ps(sum.low, scale), _mm512_mul_ps(sum.high, scale)};
  }
};

template <typename Groups>
void multiply_in_groups(const MatmulArgs& args, const RowTiles& rows) {
  const Tiles tiles(rows.height, Groups(args, args.panel_begin).depth());
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    const Groups groups(args, panel);
    for_tiles(rows, [&]<int Count>(int64_t tile) {
      Sums sums;
      sums.clear();
      sum_groups<Count>(args, groups, 0, groups.count(), rows, tile, sums);
      finish_rows<Count>(args, groups, rows, tile, panel, sums);
    });
  }
}

void multiply_columns(const MatmulArgs& args, const RowTiles& rows) {
  const Tiles tiles(rows.height, kTileDepth);
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for_tiles(rows, [&]<int Count>(int64_t tile) { column_scaled<Count>(args, rows, tile, panel); });
  }
}

}  // namespace

void matmul_int8(const MatmulArgs& args) {
  const int64_t fewest = args.group == kBlock || args.activation_group == kBlock ? kFewestRowsInBlocks : kFewestRows;
  if (args.row_end - args.row_begin < fewest) return __atomic_load_n(&below.matmul_int8, __ATOMIC_RELAXED)(args);
  const RowTiles rows = RowTiles::over(args.row_begin, args.row_end);
  if (args.group == 0 && args.activation_group == 0) return multiply_columns(args, rows);
  if (args.group == 0) return multiply_in_groups<ActivationGroups>(args, rows);
  if (args.activation_group == 0) return multiply_in_groups<WeightGroups<false>>(args, rows);
  multiply_in_groups<WeightGroups<true>>(args, rows);
}

}  // namespace honed::amx
