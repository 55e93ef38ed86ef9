// Attention of a tile of rows over one span of a paged KV cache of floats: keys in lanes for the scores, features
// in lanes for the values. Every page is read once and serves all rows while it is in the first cache, and every vector
// of it serves as many rows as there are registers. How cells are multiplied is a type `Products`: products.h.
//
// What a set says of its registers is a type `Blocking`:
//   Vector, Ahead       the latter asks for what is read next, as PageAhead does
//   kScoreRows, kScoreVectors<Rows>  the most rows of a block of scores, and how many vectors of keys those of so many
//                       rows go through at once
//   kValueRows, kValueVectors<Rows>  the same of weighted values and vectors of features
#pragma once

#include "kernels/shared/flush.h"
#include "kernels/shared/page_ahead.h"
#include "kernels/shared/products.h"
#include "kernels/shared/softmax.h"

namespace honed::shared {
namespace {

// A tile whose q lies in scratch in stretches of 16 elements, [elements / 16][rows][16]: what a block of rows needs of
// it lies at fixed distances.
template <typename Blocking, typename Products>
struct FloatTile : Tile {
  mutable typename Blocking::Ahead ahead{*this};

  explicit FloatTile(const AttentionArgs& attention) : Tile(attention) {
    prefetch_first();
    for (int64_t row = 0; row < rows; ++row) {
      Products::put_query(query(row), args.head_dim, rows, q + row * kLanes);
    }
  }

  // What is kept of the weights of a row, from those of the first key of a page on.
  const float* weights_of(int64_t row, int64_t page) const {
    return scores_of(row) + (page * kPageTokens - span_first) / Products::kCells * Products::kElements;
  }
};

// A part of a step for all rows of a block: `factors` of the rows lie `Stride` apart.
template <typename Products, int Part, int64_t Stride, int Rows, int Vectors, typename Last, typename Keep>
[[gnu::always_inline]] inline void multiply_part(const float* factors, const typename Products::Cell* cells, Last last,
                                                 Keep keep, Floats<typename Products::Vector> (&sums)[Rows][Vectors]) {
  using V = typename Products::Vector;
  decltype(Products::template cells<Part>(cells, Whole{}, keep)) cell[Vectors];
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) {
    const typename Products::Cell* place = cells + v * V::kWidth * Products::kCells;
    if (v + 1 < Vectors) cell[v] = Products::template cells<Part>(place, Whole{}, keep);
    else cell[v] = Products::template cells<Part>(place, last, keep);
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
    const auto factor = Products::template factor<Part>(factors + r * Stride);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[r][v] = Products::multiply(factor, cell[v], sums[r][v]);
  }
}

// A step of cells `from` on. Each part of it asks for its share of what is read next.
template <typename Products, int64_t Stride, int Rows, int Vectors, typename Last, typename Keep, typename Beside>
[[gnu::always_inline]] inline void multiply_step(const float* factors, const typename Products::Cell* base, int64_t from,
                                                 Last last, Keep keep, const Beside& beside,
                                                 Floats<typename Products::Vector> (&sums)[Rows][Vectors]) {
  constexpr int kShare = Vectors * Products::Vector::kWidth * Products::kCells / Products::kParts;
  const typename Products::Cell* cells = base + from;
  beside.template ask<kShare>(from);
  multiply_part<Products, 0, Stride>(factors, cells, last, keep, sums);
  if constexpr (Products::kParts == 2) {
    asm("" : "+r"(cells));  // loaded again: the compiler would keep them in registers that the sums are in
    beside.template ask<kShare>(from + kShare);
    multiply_part<Products, 1, Stride>(factors, cells, last, keep, sums);
  }
}

// Scaled scores of `Vectors` vectors of keys of one page from key `slot` on for `Rows` rows, those out of sight among
// them.
template <typename Blocking, typename Products, int Rows, int Vectors, typename Beside>
[[gnu::always_inline]] inline void score_block(const FloatTile<Blocking, Products>& tile, int64_t row, int64_t slot,
                                               const typename Products::Cell* keys, const Beside& beside,
                                               float* scores) {
  using V = typename Blocking::Vector;
  Floats<V> sums[Rows][Vectors];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[r][v] = V::zero();
  }
  const int64_t steps = (tile.args.head_dim + Products::kCells - 1) / Products::kCells;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t element = step * Products::kElements;
    const float* q = tile.q + (element / kLanes * tile.rows + row) * kLanes + element % kLanes;
    const int64_t from = (step * kPageTokens + slot) * Products::kCells;
    multiply_step<Products, kLanes>(q, keys, from, Whole{}, EveryCell{}, beside, sums);
  }
  const Floats<V> scale = V::all(tile.args.scale);
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      V::store(scores + r * kScoreStride + slot + v * V::kWidth, V::mul(sums[r][v], scale));
    }
  }
}

template <typename Blocking, typename Products>
void score(const FloatTile<Blocking, Products>& tile) {
  using Cell = typename Products::Cell;
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const Cell* keys = tile.template keys<Cell>(page);
    const auto beside = tile.ahead.template beside_keys<Products>(tile, page);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<Blocking::kScoreRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = Blocking::template kScoreVectors<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * Blocking::Vector::kWidth) {
        score_block<Blocking, Products, Rows, kVectors>(tile, row, slot, keys, beside, scores + row * kScoreStride);
      }
    });
  }
}

// Keys [begin, end) of each page of [page_begin, page_end).
struct Run {
  int64_t page_begin;
  int64_t page_end;
  int64_t begin;
  int64_t end;
};

// The keys of a run, whole steps of them, for `Rows` rows: `Vectors` registers of features from d on, of which the last
// may be partial, onto the sums in the partials.
template <typename Blocking, typename Products, int Rows, int Vectors, typename Keep>
inline void weigh_block(const FloatTile<Blocking, Products>& tile, int64_t row, int64_t d, const Run& run, Keep keep) {
  using V = typename Blocking::Vector;
  using Cell = typename Products::Cell;
  const int64_t head_dim = tile.args.head_dim;
  const int64_t stride = kPartialValues + head_dim;
  const typename V::First last = V::first(head_dim - d - (Vectors - 1) * V::kWidth);
  float* const places = tile.sums_of(row) + d;
  Floats<V> total[Rows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const float* place = places + r * stride + v * V::kWidth;
      total[r][v] = v + 1 < Vectors ? V::load(place) : V::load(place, last);
    }
  }
  const float* weights = tile.weights_of(row, run.page_begin);
  constexpr int64_t kPageElements = kPageTokens / Products::kCells * Products::kElements;
  for (int64_t page = run.page_begin; page < run.page_end; ++page, weights += kPageElements) {
    const Cell* values = tile.template values<Cell>(page);
    const auto beside = tile.ahead.template beside_values<Products>(tile, page);
    for (int64_t step = run.begin / Products::kCells; step < run.end / Products::kCells; ++step) {
      const int64_t from = (step * head_dim + d) * Products::kCells;
      multiply_step<Products, kScoreStride>(weights + step * Products::kElements, values, from, last, keep, beside, total);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      float* place = places + r * stride + v * V::kWidth;
      if (v + 1 < Vectors) V::store(place, total[r][v]);
      else V::store(place, last, total[r][v]);
    }
  }
}

// All features of whole steps.
template <typename Blocking, typename Products, int Rows, typename Keep = EveryCell>
inline void weigh_steps(const FloatTile<Blocking, Products>& tile, int64_t row, const Run& run, Keep keep = {}) {
  if (run.page_begin >= run.page_end || run.begin >= run.end) return;
  constexpr int kMost = Blocking::template kValueVectors<Rows>;
  constexpr int64_t kWidth = Blocking::Vector::kWidth;
  const int64_t head_dim = tile.args.head_dim;
  for (int64_t d = 0; d < head_dim; d += kMost * kWidth) {
    with_count<kMost>((head_dim - d + kWidth - 1) / kWidth, [&]<int Vectors>() {
      weigh_block<Blocking, Products, Rows, Vectors>(tile, row, d, run, keep);
    });
  }
}

// Keys [begin, end) of one page for `Rows` rows that see no others beside them: a step of which they see one key only
// has but that.
template <typename Blocking, typename Products, int Rows>
inline void weigh_keys(const FloatTile<Blocking, Products>& tile, int64_t row, int64_t page, int64_t begin,
                       int64_t end) {
  if (begin >= end) return;
  if constexpr (Products::kCells == 2) {
    using V = typename Blocking::Vector;
    if (begin % 2 != 0) {
      weigh_steps<Blocking, Products, Rows>(tile, row, {page, page + 1, begin - 1, begin + 1}, second_cells<V>());
      ++begin;
    }
    weigh_steps<Blocking, Products, Rows>(tile, row, {page, page + 1, begin, end / 2 * 2});
    if (end % 2 != 0 && begin < end) {
      weigh_steps<Blocking, Products, Rows>(tile, row, {page, page + 1, end - 1, end + 1}, first_cells<V>());
    }
  } else {
    weigh_steps<Blocking, Products, Rows>(tile, row, {page, page + 1, begin, end});
  }
}

inline int64_t clip(int64_t key) { return key < 0 ? 0 : key > kPageTokens ? kPageTokens : key; }

// `Rows` rows over a page of which not all see the same keys: the steps that all see whole together, what lies before
// and behind them token by token, so that every row has its keys in ascending order and no others.
template <typename Blocking, typename Products, int Rows>
inline void weigh_ragged(const FloatTile<Blocking, Products>& tile, int64_t row, int64_t page) {
  constexpr int64_t kCells = Products::kCells;
  const int64_t page_key = page * kPageTokens;
  const int64_t end = clip(tile.last(row) + 1 - page_key);  // rows see ascending keys
  const int64_t begin = clip(tile.first(row + Rows - 1) - page_key);
  if (Rows == 1 || tile.position(row) == tile.position(row + Rows - 1)) {
    return weigh_keys<Blocking, Products, Rows>(tile, row, page, begin, end);
  }
  const int64_t shared_begin = (begin + kCells - 1) / kCells * kCells;
  const int64_t shared_end = begin < end / kCells * kCells ? end / kCells * kCells : shared_begin;
  const auto for_tokens = [&](const auto& body) {
    for (int64_t r = 0; r < Rows;) {
      int64_t next = r + 1;
      while (next < Rows && tile.position(row + next) == tile.position(row + r)) ++next;
      with_count<Rows>(next - r, [&]<int Count>() { body.template operator()<Count>(row + r); });
      r = next;
    }
  };
  for_tokens([&]<int Count>(int64_t first_row) {
    const int64_t last = clip(tile.last(first_row) + 1 - page_key);
    weigh_keys<Blocking, Products, Count>(tile, first_row, page, clip(tile.first(first_row) - page_key),
                                          last < shared_begin ? last : shared_begin);
  });
  weigh_steps<Blocking, Products, Rows>(tile, row, {page, page + 1, shared_begin, shared_end});
  for_tokens([&]<int Count>(int64_t first_row) {
    weigh_keys<Blocking, Products, Count>(tile, first_row, page, shared_end, clip(tile.last(first_row) + 1 - page_key));
  });
}

template <typename Blocking, typename Products>
void weigh(const FloatTile<Blocking, Products>& tile) {
  tile.clear_sums();
  // The pages that every row sees whole are one run, whose sums stay in registers; before and behind it, page by page.
  const int64_t whole_end = (tile.last(0) + 1) / kPageTokens;
  const int64_t after_first = (tile.first(tile.rows - 1) + kPageTokens - 1) / kPageTokens;
  const int64_t whole_begin = after_first < tile.page_end ? after_first : tile.page_end;
  const int64_t ragged_begin = whole_begin < whole_end ? whole_end : whole_begin;
  for_even_blocks<Blocking::kValueRows>(tile.rows, [&]<int Rows>(int64_t row) {
    for (int64_t page = tile.page_begin; page < whole_begin; ++page) {
      weigh_ragged<Blocking, Products, Rows>(tile, row, page);
    }
    weigh_steps<Blocking, Products, Rows>(tile, row, {whole_begin, whole_end, 0, kPageTokens});
    for (int64_t page = ragged_begin; page < tile.page_end; ++page) {
      weigh_ragged<Blocking, Products, Rows>(tile, row, page);
    }
  });
}

template <typename Blocking, typename Products>
void attend(const AttentionArgs& args) {
  const FloatTile<Blocking, Products> tile(args);
  score<Blocking, Products>(tile);
  adjust_scores<typename Blocking::Vector>(tile);
  for (int64_t row = 0; row < tile.rows; ++row) {
    weights_of<Products>(tile, row, [&] { tile.ahead.template beside_weights<Products>(); });
  }
  weigh<Blocking, Products>(tile);
}

// The same of a cache of bfloat16. A call of its own, so that nothing of it is computed before denormals are flushed.
template <typename Blocking, typename Products>
[[gnu::noinline]] void attend_flushed(const AttentionArgs& args) {
  const FlushedDenormals flushed;
  attend<Blocking, Products>(args);
}

}  // namespace
}  // namespace honed::shared
