// What the attention kernels of this folder share: how scores become weights. All of it is local to the unit that
// includes it, as in vector.h.
#pragma once

#include "kernels/neon/vector.h"
#include "kernels/paging/tile.h"

namespace honed::neon {
namespace {

using paging::for_even_blocks;
using paging::prefetch;
using paging::Tile;
using paging::with_count;

// Scores of one row become weights; its largest score and the sum of exp(score - largest) go to the partial.
inline void weights_of(const Tile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kLanes * kLanes;
  const int64_t lanes_end = (end + kLanes - 1) / kLanes * kLanes;
  // Keys out of sight around those in sight: they weigh nothing in maximum and sum.
  const auto hide = [&](float value) {
    for (int64_t key = begin; key < first; ++key) scores[key] = value;
    for (int64_t key = end; key < lanes_end; ++key) scores[key] = value;
  };
  hide(-__builtin_inff());
  float32x4_t largest = vdupq_n_f32(-__builtin_inff());
  for (int64_t key = begin; key < lanes_end; key += kVector) largest = vmaxq_f32(largest, vld1q_f32(scores + key));
  const float peak = vmaxvq_f32(largest) + 0.0f;  // of two zeros either could be the largest
  const float32x4_t shift = vdupq_n_f32(peak);
  for (int64_t key = begin; key < lanes_end; key += kVector) {
    vst1q_f32(scores + key, exp(vsubq_f32(vld1q_f32(scores + key), shift)));
  }
  hide(0.0f);
  float32x4_t lanes[kLaneVectors];
  for (float32x4_t& lane : lanes) lane = vdupq_n_f32(0.0f);
  for (int64_t key = begin; key < lanes_end; key += kLanes) {
    for (int v = 0; v < kLaneVectors; ++v) lanes[v] = vaddq_f32(lanes[v], vld1q_f32(scores + key + v * kVector));
  }
  tile.partial(row)[0] = peak;
  tile.partial(row)[1] = fold_lanes(lanes);
}

}  // namespace
}  // namespace honed::neon
