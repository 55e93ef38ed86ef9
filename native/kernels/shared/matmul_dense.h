// Dense weights, f32 or bf16. Lanes are columns, so each lane is the chain of fma over k that the contract asks for.
//
// What a set says of a type of weights is a type `Columns`:
//   Vector, Weight, kMostRows
//   kVectors<Rows>    vectors of columns that `Rows` rows take in one stream: their sums should stay in registers
//   load(place, w)    the vectors w of columns from `place` on, in any order within kTileColumns
//   arrange(sums)     puts the sums of such vectors in the order of columns
#pragma once

#include "kernels/shared/epilogue.h"

namespace honed::shared {
namespace {

// Columns in their order, as most sets have them; `Most` rows in a block.
template <FloatVector V, typename Cell, int Most>
struct ColumnsInOrder {
  using Vector = V;
  using Weight = Cell;
  static constexpr int kMostRows = Most;

  template <int Count>
  static void load(const Weight* place, Floats<V> (&w)[Count]) {
#pragma GCC unroll 8
    for (int v = 0; v < Count; ++v) w[v] = V::widen(place + v * V::kWidth);
  }
  template <int Count>
  static void arrange(Floats<V> (&)[Count]) {}
};

// Products of `Rows` rows with the vectors from `first` of a panel on.
template <typename Columns, int Rows, int Vectors, typename V = typename Columns::Vector>
inline void multiply_columns(const MatmulArgs& args, int64_t row, const typename Columns::Weight* weights, int first,
                             Floats<V> (&result)[Rows][kPanelVectors<V>]) {
  const float* x[Rows];
  Floats<V> sums[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    x[r] = reinterpret_cast<const float*>(static_cast<const char*>(args.x) + (row + r) * args.x_row_bytes);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[r][v] = V::zero();
  }
  weights += first * V::kWidth;
  for (int64_t k = 0; k < args.k; ++k) {
    Floats<V> w[Vectors];
    Columns::load(weights + k * kPanelColumns, w);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Floats<V> value = V::all(x[r][k]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[r][v] = V::fma(value, w[v], sums[r][v]);
    }
  }
  // A copy, unrolled: indexed by a loop that stays a loop, the sums would live in memory all along.
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    Columns::arrange(sums[r]);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) result[r][first + v] = sums[r][v];
  }
}

template <typename Columns, typename V = typename Columns::Vector>
void matmul_dense(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    const char* bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
    const auto* weights = reinterpret_cast<const typename Columns::Weight*>(bytes);
    for_blocks<Columns::kMostRows>(args.row_begin, args.row_end, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = Columns::template kVectors<Rows>;
      Floats<V> result[Rows][kPanelVectors<V>];
#pragma GCC unroll 2
      for (int first = 0; first < kPanelVectors<V>; first += kVectors) {
        multiply_columns<Columns, Rows, kVectors>(args, row, weights, first, result);
      }
      for (int r = 0; r < Rows; ++r) finish_panel<V>(args, row + r, panel, result[r]);
    });
  }
}

}  // namespace
}  // namespace honed::shared
