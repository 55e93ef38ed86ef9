// Who a row goes to, and what comes back of it.
#pragma once

#include "kernels/shared/math.h"

namespace honed::shared {
namespace {

// The numbers of the greatest values, the greatest first; each value is looked at once.
inline void find_greatest(const float* x, int64_t experts, int64_t chosen, int32_t* numbers) {
  int64_t count = 0;
  for (int64_t e = 0; e < experts; ++e) {
    if (count == chosen && !(x[e] > x[numbers[count - 1]])) continue;
    int64_t place = count < chosen ? count++ : count - 1;
    for (; place > 0 && x[e] > x[numbers[place - 1]]; --place) numbers[place] = numbers[place - 1];
    numbers[place] = static_cast<int32_t>(e);
  }
}

inline void sort_ascending(int32_t* numbers, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const int32_t number = numbers[i];
    int64_t place = i;
    for (; place > 0 && numbers[place - 1] > number; --place) numbers[place] = numbers[place - 1];
    numbers[place] = number;
  }
}

template <FloatVector V>
inline void exp_row(float* x, int64_t count) {
  for_vectors<V>(count, [&](int64_t i, auto lanes) { V::store(x + i, lanes, exp<V>(V::load(x + i, lanes))); });
}

template <FloatVector V>
void route(const RouteArgs& args) {
  float terms[kMostExperts];
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    int32_t* numbers = args.numbers + row * args.y_stride;
    float* weights = args.weights + row * args.y_stride;
    find_greatest(x, args.experts, args.chosen, numbers);
    const float most = x[numbers[0]];
    sort_ascending(numbers, args.chosen);
    if (args.scoring == Scoring::sigmoid) {
      for (int64_t j = 0; j < args.chosen; ++j) weights[j] = -x[numbers[j]];
      exp_row<V>(weights, args.chosen);
      for (int64_t j = 0; j < args.chosen; ++j) weights[j] = 1.0f / (1.0f + weights[j]);
      continue;
    }
    for (int64_t j = 0; j < args.chosen; ++j) weights[j] = x[numbers[j]] - most;
    exp_row<V>(weights, args.chosen);
    const float* summed = weights;
    int64_t count = args.chosen;
    if (args.scoring == Scoring::softmax) {
      for (int64_t e = 0; e < args.experts; ++e) terms[e] = x[e] - most;
      exp_row<V>(terms, args.experts);
      summed = terms;
      count = args.experts;
    }
    float sum = 0.0f;
    for (int64_t e = 0; e < count; ++e) sum = sum + summed[e];
    for (int64_t j = 0; j < args.chosen; ++j) weights[j] = weights[j] / sum;
  }
}

template <FloatVector V>
void combine(const CombineArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int32_t* places = args.places + row * args.routing_stride;
    const float* weights = args.weights + row * args.routing_stride;
    float* y = args.y + row * args.y_stride;
    for_vectors<V>(args.width, [&](int64_t i, auto lanes) {
      Floats<V> sum = V::mul(V::all(weights[0]), V::load(args.x + places[0] * args.x_stride + i, lanes));
      for (int64_t j = 1; j < args.chosen; ++j) {
        sum = V::fma(V::all(weights[j]), V::load(args.x + places[j] * args.x_stride + i, lanes), sum);
      }
      V::store(y + i, lanes, args.add ? V::add(V::load(y + i, lanes), sum) : sum);
    });
  }
}

}  // namespace
}  // namespace honed::shared
