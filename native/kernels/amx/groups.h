// Sums over groups: tile products of one group after the other, folded into float sums in the order of the contract.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/avx512vnni/epilogue.h"

namespace honed::amx {

using avx512vnni::finish_panel;
using avx512vnni::PanelResult;

// Products of two groups are folded at once, so that the float sums are loaded and stored half as often; those of the
// two groups after them are made meanwhile (see sum_groups).
inline constexpr int kBatch = 2;

// The float sums of one or two tiles of rows.
struct alignas(64) Sums {
  float cells[2][kTileRows][kPanelColumns];

  void clear() {
    for (auto& tile : cells) {
      for (auto& row : tile) {
        _mm512_store_ps(row, _mm512_setzero_ps());
        _mm512_store_ps(row + kVector, _mm512_setzero_ps());
      }
    }
  }
};

static inline const char* row_bytes(const MatmulArgs& args, int64_t row) {
  return static_cast<const char*>(args.x) + row * args.x_row_bytes;
}

static inline const float* row_scales(const MatmulArgs& args, int64_t row) {
  return reinterpret_cast<const float*>(row_bytes(args, row) + args.scales_offset);
}

// The sum of the activations of one group of weights, in every lane. A float holds it exactly.
static inline __m512 activation_sum(const MatmulArgs& args, int64_t row, int64_t g) {
  const int64_t blocks = args.group / kBlock;
  const auto* sums = reinterpret_cast<const int32_t*>(row_bytes(args, row) + args.sums_offset) + g * blocks;
  // Spelled out: of a loop over one, two or four compilers make a hundred instructions.
  int32_t sum = sums[0];
  if (blocks >= 2) sum += sums[1];
  if (blocks == 4) sum += sums[2] + sums[3];
  return _mm512_cvtepi32_ps(_mm512_set1_epi32(sum));
}

// Folds groups [g, g + Count) of the rows of one tile into its sums, group after group.
template <int Count, typename Groups>
static inline void fold(const Groups& groups, int64_t g, const Dots* dots, int tile, const RowTiles& tiles,
                        int64_t tile_index, Sums& sums) {
  typename Groups::Terms terms[Count];
  for (int i = 0; i < Count; ++i) terms[i] = groups.terms(g + i);
  const int64_t first = tiles.first(tile_index);
  for (int64_t r = tiles.shared(tile_index); r < tiles.height; ++r) {
    float* cells = sums.cells[tile][r];
    PanelResult result{_mm512_load_ps(cells), _mm512_load_ps(cells + kVector)};
    for (int i = 0; i < Count; ++i) {
      const PanelResult dot{_mm512_cvtepi32_ps(dots[i].row(tile, 0, r)), _mm512_cvtepi32_ps(dots[i].row(tile, 1, r))};
      groups.add(terms[i], first + r, g + i, dot, result);
    }
    _mm512_store_ps(cells, result.low);
    _mm512_store_ps(cells + kVector, result.high);
  }
}

// Adds groups [begin, end) of one panel to the sums of tiles [tile, tile + Count). `Groups` says where the weights of a
// group are (weights), how far behind them those of the next panel (ahead), what they are scaled by (terms) and how its
// dot products enter the sums (add).
//
// Folding takes longer than the products do and waits for nothing but them, so the products of the next batch are
// issued in between: those of its group i before the fold of tile i.
template <int Count, typename Groups>
static inline void sum_groups(const MatmulArgs& args, const Groups& groups, int64_t begin, int64_t end,
                              const RowTiles& tiles, int64_t tile, Sums& sums) {
  static_assert(Count <= kBatch);
  Dots dots[2][kBatch];
  for (int64_t next = begin; next < end + kBatch; next += kBatch) {
    const int64_t ready = next - kBatch;
    const int64_t batch = (next - begin) / kBatch;
    const Dots* products = dots[(batch + 1) % 2];
    for (int i = 0; i < kBatch; ++i) {
      if (next + i < end) {
        multiply(activations<Count>(args, tiles, tile, groups.first_k(next + i)), groups.depth(),
                 groups.weights(next + i), tile == 0 ? groups.ahead() : 0, dots[batch % 2][i]);
      }
      if (ready < begin || i >= Count) continue;
      if (ready + kBatch <= end) {
        fold<kBatch>(groups, ready, products, i, tiles, tile + i, sums);
      } else {
        fold<1>(groups, ready, products, i, tiles, tile + i, sums);
      }
    }
  }
}

// Ends the rows of tiles [tile, tile + Count): the last factors of `Groups`, then bias and epilogue.
template <int Count, typename Groups>
static inline void finish_rows(const MatmulArgs& args, const Groups& groups, const RowTiles& tiles, int64_t tile,
                               int64_t panel, const Sums& sums) {
  for (int i = 0; i < Count; ++i) {
    const int64_t first = tiles.first(tile + i);
    for (int64_t r = tiles.shared(tile + i); r < tiles.height; ++r) {
      const float* cells = sums.cells[i][r];
      const PanelResult result{_mm512_load_ps(cells), _mm512_load_ps(cells + kVector)};
      finish_panel(args, first + r, panel, groups.finish(first + r, result));
    }
  }
}

// Calls body.operator()<Count>(tile) over all tiles of rows: two at a time, then the one that is left.
template <typename Body>
static inline void for_tiles(const RowTiles& tiles, const Body& body) {
  int64_t tile = 0;
  for (; tile + 2 <= tiles.count; tile += 2) body.template operator()<2>(tile);
  if (tile < tiles.count) body.template operator()<1>(tile);
}

}  // namespace honed::amx
