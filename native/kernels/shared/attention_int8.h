// Attention of a tile of rows over one span of an int8 KV cache: both products are of integers, and what a group of
// features or a page adds to them becomes float once. Keys or features are in lanes, and no sum is ever folded over
// lanes. Whatever the cells out of sight hold, the codes of their weights are 0.
//
// How a set multiplies its bytes is a type `Integers`:
//   Vector
//   kMostRows, kVectors<Rows>    the most rows of a block, and how many vectors of keys or features so many rows take
//   Products<Rows, Vectors>      sums of products in registers; clear(), total(r, v) as Floats
//   put_query(tile, row, d, codes)   the codes of q of features d to d + 15, where add_keys finds them
//   put_weights(place, codes)    the codes of the weights of a page, in place of the weights
//   add_keys(tile, row, keys, next, begin, end, slot, products)
//                                quads [begin, end) of features, one group, of the keys of a page from `slot` on
//   add_values(tile, row, page, values, next, d, last, products)
//                                all keys of a page; the last of its vectors of features from d on has `last` real ones
// Both ask for the cells of `next` that lie where those that they read do.
#pragma once

#include <utility>

#include "kernels/paging/head.h"
#include "kernels/shared/codes.h"
#include "kernels/shared/softmax.h"

namespace honed::shared {
namespace {

inline constexpr int64_t kQuad = 4;  // cells that an instruction multiplies in a lane
inline constexpr int64_t kGroupQuads = kKeyGroup / kQuad;
inline constexpr int64_t kQuadBytes = kQuad * kPageTokens;  // of the keys of a page
inline constexpr int64_t kPageQuads = kPageTokens / kQuad;
inline constexpr int64_t kRowBytes = kScoreStride * static_cast<int64_t>(sizeof(float));  // of scores or weights

// Behind the scores of a row: the steps of its weights, page by page, and what its products with keys are scaled by.
inline constexpr int64_t kWeightSteps = kSpanTokens;
inline constexpr int64_t kQueryStep = kWeightSteps + kSpanTokens / kPageTokens;
static_assert(kQueryStep < kScoreStride);

// Calls body.operator()<I>() for I from 0 to `Count` - 1. A loop over an array of sums is unrolled too late for gcc to
// keep the array in registers from one quad to the next, and so is whatever is not inlined first of all.
template <int Count, typename Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body.template operator()<I>(), ...);
  }(std::make_integer_sequence<int, Count>());
}

template <typename Integers>
void encode_query(const Tile& tile, int64_t row) {
  using V = typename Integers::Vector;
  constexpr int kVectors = kLanes / V::kWidth;
  const int64_t head_dim = tile.args.head_dim;
  const float* q = tile.query(row);
  const float largest = largest_magnitude<V>(q, head_dim);
  const Floats<V> inverse = V::all(inverse_step<kQueryCodes>(largest));
  for (int64_t d = 0; d < head_dim; d += kLanes) {
    Ints<V> codes[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = d + v * V::kWidth;
      const int64_t left = head_dim - at;
      codes[v] = V::all_ints(0);
      if (left >= V::kWidth) {
        codes[v] = codes_within<V, kQueryCodes>(V::load(q + at), inverse);
      } else if (left > 0) {
        const typename V::First lanes = V::first(left);
        // Cleared again: 0 * infinity is not a zero.
        codes[v] = V::first_of(lanes, codes_within<V, kQueryCodes>(V::load(q + at, lanes), inverse));
      }
    }
    Integers::put_query(tile, row, d, codes);
  }
  tile.scores_of(row)[kQueryStep] = largest / static_cast<float>(kQueryCodes) * tile.args.scale;
}

// Scaled scores of `Vectors` vectors of keys of one page from `slot` on for `Rows` rows, those out of sight among them.
// `next` is what will be read a while after this page.
template <typename Integers, int Rows, int Vectors>
inline void score_block(const Tile& tile, int64_t row, const int8_t* keys, const int8_t* next, float* row_scores,
                        int64_t slot) {
  using V = typename Integers::Vector;
  const int64_t quads = (tile.args.head_dim + kQuad - 1) / kQuad;
  const float* steps = tile.scores_of(row) + kQueryStep;
  const float* scales = paging::scales_of(keys, tile.args.head_dim) + slot;
  for (int64_t begin = 0; begin < quads; begin += kGroupQuads, scales += kPageTokens) {
    const int64_t end = begin + kGroupQuads < quads ? begin + kGroupQuads : quads;
    typename Integers::template Products<Rows, Vectors> products;
    products.clear();
    Integers::add_keys(tile, row, keys, next, begin, end, slot, products);
    unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
      const Floats<V> step = V::all(steps[r * kScoreStride]);
      unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
        float* place = row_scores + r * kScoreStride + slot + v * V::kWidth;
        const Floats<V> before = begin == 0 ? V::zero() : V::load(place);
        const Floats<V> dot = V::fma(products.total(r, v), V::load(scales + v * V::kWidth), before);
        V::store(place, end == quads ? V::mul(dot, step) : dot);
      });
    });
  }
}

template <typename Integers>
void score_int8(const Tile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* keys = tile.keys<int8_t>(page);
    const int8_t* next = tile.after_keys<int8_t>(page);
    paging::prefetch(paging::scales_of(next, tile.args.head_dim), 0, key_groups(tile.args.head_dim) * kPageTokens);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<Integers::kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = Integers::template kVectors<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * Integers::Vector::kWidth) {
        score_block<Integers, Rows, kVectors>(tile, row, keys, next, scores + row * kScoreStride, slot);
      }
    });
  }
}

inline float& weight_step(const Tile& tile, int64_t row, int64_t page) {
  return tile.scores_of(row)[kWeightSteps + page - tile.span_first / kPageTokens];
}

// The weights of one row and page, times the scales of their values, become codes, in their place.
template <typename Integers>
void encode_weights(const Tile& tile, int64_t row, int64_t page, const float* scales) {
  using V = typename Integers::Vector;
  constexpr int kVectors = kPageTokens / V::kWidth;
  float* weights = tile.scores_of(row, page);
  const int64_t first = tile.first(row) - page * kPageTokens;
  const int64_t end = tile.last(row) + 1 - page * kPageTokens;
  Floats<V> scaled[kVectors];
  Floats<V> largest = V::zero();
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = v * V::kWidth;
    const Floats<V> weight = V::mul(V::load(weights + at), V::load(scales + at));
    scaled[v] = V::within(at, first, end, weight, V::zero());
    largest = V::max(scaled[v], largest);
  }
  const float peak = V::largest(largest);
  const Floats<V> inverse = V::all(inverse_step<kWeightCodes>(peak));
  Ints<V> codes[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    // Hidden again: 0 * infinity is not a zero.
    const Ints<V> code = codes_within<V, kWeightCodes>(scaled[v], inverse);
    codes[v] = V::within(v * V::kWidth, first, end, code, V::all_ints(0));
  }
  Integers::put_weights(weights, codes);
  weight_step(tile, row, page) = peak / static_cast<float>(kWeightCodes);
}

// Adds the values of a page, `Vectors` vectors of features from d on, of which the last may be partial, to the sums in
// the partials of `Rows` rows.
template <typename Integers, int Rows, int Vectors>
inline void weigh_block(const Tile& tile, int64_t row, int64_t page, const int8_t* values, const int8_t* next,
                        int64_t d) {
  using V = typename Integers::Vector;
  const int64_t head_dim = tile.args.head_dim;
  const int64_t last = head_dim - d - (Vectors - 1) * V::kWidth;
  typename Integers::template Products<Rows, Vectors> products;
  products.clear();
  Integers::add_values(tile, row, page, values, next, d, last, products);
  const float* steps = &weight_step(tile, row, page);
  float* sums = tile.sums_of(row) + d;
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    const Floats<V> step = V::all(steps[r * kScoreStride]);
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      float* place = sums + r * (kPartialValues + head_dim) + v * V::kWidth;
      if (v + 1 < Vectors || last >= V::kWidth) {
        V::store(place, V::fma(products.total(r, v), step, V::load(place)));
      } else {
        const typename V::First lanes = V::first(last);
        V::store(place, lanes, V::fma(products.total(r, v), step, V::load(place, lanes)));
      }
    });
  });
}

template <typename Integers>
void weigh_int8(const Tile& tile) {
  constexpr int64_t kWidth = Integers::Vector::kWidth;
  const int64_t head_dim = tile.args.head_dim;
  tile.clear_sums();
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* values = tile.values<int8_t>(page);
    const int8_t* next = tile.after_values<int8_t>(page);
    paging::prefetch(paging::scales_of(next, head_dim), 0, kPageTokens);
    for (int64_t row = 0; row < tile.rows; ++row) {
      encode_weights<Integers>(tile, row, page, paging::scales_of(values, head_dim));
    }
    for_even_blocks<Integers::kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kMost = Integers::template kVectors<Rows>;
      for (int64_t d = 0; d < head_dim; d += kMost * kWidth) {
        with_count<kMost>((head_dim - d + kWidth - 1) / kWidth, [&]<int Vectors>() {
          weigh_block<Integers, Rows, Vectors>(tile, row, page, values, next, d);
        });
      }
    });
  }
}

template <typename Integers>
void attend_int8(const AttentionArgs& args) {
  const Tile tile(args);
  tile.prefetch_first();
  for (int64_t row = 0; row < tile.rows; ++row) encode_query<Integers>(tile, row);
  score_int8<Integers>(tile);
  adjust_scores<typename Integers::Vector>(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of<SingleProducts<typename Integers::Vector>>(tile, row, [] {});
  weigh_int8<Integers>(tile);
}

}  // namespace
}  // namespace honed::shared
