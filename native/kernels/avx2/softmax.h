// What the attention kernels of this folder share: how scores become weights. All of it is local to the unit that
// includes it, as in vector.h.
#pragma once

#include "kernels/avx2/vector.h"
#include "kernels/paging/tile.h"

namespace honed::avx2 {
namespace {

using paging::for_even_blocks;
using paging::prefetch;
using paging::Tile;
using paging::with_count;

// `value` where keys `key` to `key + 7` lie in [first, end), `outside` elsewhere. Most vectors are inside entirely.
inline __m256 keep_visible(int64_t key, int64_t first, int64_t end, __m256 value, __m256 outside) {
  if (key >= first && key + kVector <= end) return value;
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i keys = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int32_t>(key)), lanes);
  const __m256i from_first = _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(static_cast<int32_t>(first - 1)));
  const __m256i before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(end)), keys);
  return _mm256_blendv_ps(outside, value, _mm256_castsi256_ps(_mm256_and_si256(from_first, before_end)));
}

// Scores of one row become weights; its largest score and the sum of exp(score - largest) go to the partial. Weights
// of keys out of sight are whatever they come to.
inline void weights_of(const Tile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kLanes * kLanes;
  const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
  __m256 largest = lowest;
  for (int64_t key = begin; key < end; key += kVector) {
    largest = _mm256_max_ps(keep_visible(key, first, end, _mm256_loadu_ps(scores + key), lowest), largest);
  }
  const float peak = largest_lane(largest) + 0.0f;  // of two zeros either could be the largest
  const __m256 shift = _mm256_set1_ps(peak);
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t key = begin; key < end; key += kLanes) {
    for (int v = 0; v < 2; ++v) {
      const int64_t at = key + v * kVector;
      const __m256 p = exp(_mm256_sub_ps(_mm256_loadu_ps(scores + at), shift));
      sums[v] = _mm256_add_ps(sums[v], keep_visible(at, first, end, p, _mm256_setzero_ps()));
      _mm256_storeu_ps(scores + at, p);
    }
  }
  tile.partial(row)[0] = peak;
  tile.partial(row)[1] = fold_lanes(sums[0], sums[1]);
}

}  // namespace
}  // namespace honed::avx2
