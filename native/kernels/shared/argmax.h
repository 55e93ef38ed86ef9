// The greatest value of each row: every lane keeps the first of its own, then the lanes and the rest are compared.
#pragma once

#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

// The later of two choices stands only where it is greater, or equal and before the other.
inline bool replaces(float value, int32_t column, const Choice& choice) {
  return value > choice.value || (value == choice.value && column < choice.column);
}

template <FloatVector V>
inline Choice greatest(const float* x, int64_t begin, int64_t end) {
  Floats<V> best = V::all(x[begin]);
  Ints<V> columns = V::all_ints(static_cast<int32_t>(begin));
  Ints<V> here = V::add(columns, V::lane_numbers());
  Floats<V> spoiled = V::zero();  // x - x is not a number where x is not finite, and stays so in a union of bits
  int64_t c = begin;
  for (; c + V::kWidth <= end; c += V::kWidth) {
    const Floats<V> value = V::load(x + c);
    spoiled = V::either(spoiled, V::sub(value, value));
    const typename V::Lanes greater = V::greater(value, best);
    best = V::max(value, best);
    columns = V::select(greater, here, columns);
    here = V::add(here, V::all_ints(V::kWidth));
  }
  float values[V::kWidth];
  float spoils[V::kWidth];
  int32_t firsts[V::kWidth];
  V::store(values, best);
  V::store(spoils, spoiled);
  V::store_ints(firsts, columns);
  Choice choice{values[0], firsts[0], 1};
  for (int lane = 0; lane < V::kWidth; ++lane) {
    if (!(spoils[lane] == 0.0f)) choice.all_finite = 0;
    if (replaces(values[lane], firsts[lane], choice)) choice = {values[lane], firsts[lane], choice.all_finite};
  }
  for (; c < end; ++c) {
    if (!(x[c] - x[c] == 0.0f)) choice.all_finite = 0;
    if (x[c] > choice.value) choice = {x[c], static_cast<int32_t>(c), choice.all_finite};
  }
  choice.value = x[choice.column];  // a lane may hold a zero of the other sign
  return choice;
}

template <FloatVector V>
void argmax(const ArgmaxArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    args.choices[row] = greatest<V>(args.x + row * args.x_stride, args.column_begin, args.column_end);
  }
}

}  // namespace
}  // namespace honed::shared
