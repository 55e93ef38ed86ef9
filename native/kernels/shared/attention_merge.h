// The fold of the partials of consecutive spans, and of sinks.
#pragma once

#include "kernels/shared/math.h"

namespace honed::shared {
namespace {

// Folds partial `next` into `state`.
template <FloatVector V>
inline void fold_partial(float* state, const float* next, int64_t head_dim) {
  const float largest = state[0] > next[0] ? state[0] : next[0];
  const Floats<V> a = exp<V>(V::all(state[0] - largest));
  const Floats<V> b = exp<V>(V::all(next[0] - largest));
  state[0] = largest;
  state[1] = V::first_lane(V::fma(V::all(state[1]), a, V::mul(V::all(next[1]), b)));
  float* sums = state + kPartialValues;
  for_vectors<V>(head_dim, [&](int64_t d, auto lanes) {
    const Floats<V> added = V::mul(V::load(next + kPartialValues + d, lanes), b);
    V::store(sums + d, lanes, V::fma(V::load(sums + d, lanes), a, added));
  });
}

// The same of a partial that is a sink.
template <FloatVector V>
inline void fold_sink(float* state, float sink, int64_t head_dim) {
  const float largest = state[0] > sink ? state[0] : sink;
  const Floats<V> a = exp<V>(V::all(state[0] - largest));
  const Floats<V> b = exp<V>(V::all(sink - largest));
  state[0] = largest;
  state[1] = V::first_lane(V::fma(V::all(state[1]), a, b));
  float* sums = state + kPartialValues;
  for_vectors<V>(head_dim, [&](int64_t d, auto lanes) {
    V::store(sums + d, lanes, V::fma(V::load(sums + d, lanes), a, V::zero()));
  });
}

template <FloatVector V>
void attention_merge(const AttentionMergeArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  for (int64_t i = 0; i < args.rows * args.group; ++i) {
    float* state = args.partials + i * partial_floats;
    for (int64_t span = 1; span < args.count; ++span) {
      fold_partial<V>(state, state + span * args.span_stride, args.head_dim);
    }
    if (args.sinks != nullptr) fold_sink<V>(state, args.sinks[i % args.group], args.head_dim);
    float* y = args.y + i / args.group * args.y_stride + i % args.group * args.head_dim;
    const float* sums = state + kPartialValues;
    const Floats<V> sum = V::all(state[1]);
    for_vectors<V>(args.head_dim, [&](int64_t d, auto lanes) {
      V::store(y + d, lanes, V::div(V::load(sums + d, lanes), sum));
    });
  }
}

}  // namespace
}  // namespace honed::shared
