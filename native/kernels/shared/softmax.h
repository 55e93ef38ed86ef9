// How the scores of one row of a tile become weights.
#pragma once

#include "kernels/paging/tile.h"
#include "kernels/shared/math.h"
#include "kernels/shared/products.h"

namespace honed::shared {
namespace {

using paging::for_even_blocks;
using paging::Tile;
using paging::with_count;

// The soft cap of the scores of one row, those out of sight among them.
template <FloatVector V>
void cap_scores(const Tile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const Floats<V> cap = V::all(tile.args.soft_cap);
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  for (int64_t key = (tile.first(row) - tile.span_first) / kLanes * kLanes; key < end; key += V::kWidth) {
    const Floats<V> share = V::div(V::load(scores + key), cap);
    V::store(scores + key, V::mul(cap, rational<V, TanhTerms>(share)));
  }
}

// The biases of V::kWidth distances from `distance` on. `table` has that of distance 0, and `reach` to either side.
template <FloatVector V>
inline Floats<V> biases_of(const float* table, int64_t reach, int64_t distance) {
  if (distance >= -reach && distance + V::kWidth - 1 <= reach) return V::load(table + distance);
  float lanes[V::kWidth];
  for (int64_t i = 0; i < V::kWidth; ++i) {
    const int64_t at = distance + i;
    lanes[i] = table[at < -reach ? -reach : at > reach ? reach : at];
  }
  return V::load(lanes);
}

template <FloatVector V>
void add_biases(const Tile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t reach = tile.args.reach;
  const int64_t head = tile.args.kv_head * tile.args.group + row % tile.args.group;
  const float* table = tile.args.bias + head * (2 * reach + 1) + reach;
  const int64_t to_distance = tile.span_first - tile.position(row);
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  for (int64_t key = (tile.first(row) - tile.span_first) / kLanes * kLanes; key < end; key += V::kWidth) {
    V::store(scores + key, V::add(V::load(scores + key), biases_of<V>(table, reach, key + to_distance)));
  }
}

// What the caller asks for beyond scores as they are.
template <FloatVector V>
inline void adjust_scores(const Tile& tile) {
  for (int64_t row = 0; tile.args.soft_cap > 0.0f && row < tile.rows; ++row) cap_scores<V>(tile, row);
  for (int64_t row = 0; tile.args.bias != nullptr && row < tile.rows; ++row) add_biases<V>(tile, row);
}

// Scores of one row become weights, as its products take them; its largest score and the sum of the weights go to the
// partial. Beside keys in sight, those out of sight have weights of zero. beside() is called once for every kLanes keys.
template <typename Products, typename Beside>
inline void weights_of(const Tile& tile, int64_t row, const Beside& beside) {
  using V = typename Products::Vector;
  constexpr int kVectors = kLanes / V::kWidth;
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kLanes * kLanes;
  const Floats<V> lowest = V::all(-__builtin_inff());
  Floats<V> largest = lowest;
  for (int64_t key = begin; key < end; key += V::kWidth) {
    largest = V::max(V::within(key, first, end, V::load(scores + key), lowest), largest);
  }
  const float peak = V::largest(largest) + 0.0f;  // of two zeros either could be the largest
  const Floats<V> shift = V::all(peak);
  Floats<V> sums[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sums[v] = V::zero();
  for (int64_t key = begin; key < end; key += kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = key + v * V::kWidth;
      const Floats<V> weight = Products::weight(exp<V>(V::sub(V::load(scores + at), shift)));
      const Floats<V> p = V::within(at, first, end, weight, V::zero());
      sums[v] = V::add(sums[v], p);
      Products::put_weights(scores, at, p);
    }
    beside();
  }
  tile.partial(row)[0] = peak;
  tile.partial(row)[1] = V::fold(sums);
}

}  // namespace
}  // namespace honed::shared
