// What the kernels of this folder ask of an instruction set, and the loops over vectors that they share. They are
// templates over a type `Vector` that the vector.h of each set defines: registers, and static functions that are one
// operation each. What an operation computes for each lane is an IEEE operation as kernel_table.h has them.
//
// All of this folder is local to the unit that includes it: a copy compiled for one set could otherwise be the one
// that the linker keeps for every machine.
#pragma once

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::shared {
namespace {

// In place of Vector::First: all lanes.
struct Whole {};

// The vocabulary. a, b, c are Floats, `number` a float, `place` floats in memory, `first` a First.
//   Floats, Ints     registers of kWidth floats or int32; kWidth divides kLanes
//   First            the lanes that a partial access touches; first(count): the first `count`, one to kWidth, or all
//                    where there are more. Loads put zeros behind them.
//   Lanes            in which lanes something holds; select(lanes, a, b) takes a there and b elsewhere
//   min, max         b where a is not a number
//   times_power_of_two(a, n)  a * 2^n for whole n, by adding to the exponent
//   round            to the nearest whole number, ties to even; to_ints likewise
//   first_lane(a)    as a float
//   fold(lanes)      sum of kLanes partial sums, l[i] + l[i + half] until one is left
//   largest(a)       of all lanes
//   within(at, first, end, a, b)  a in the lanes whose number, counted from `at`, lies in [first, end), b elsewhere
//   first_of(first, ints)         zeros behind the first lanes
//   widen(cells)     kWidth floats or bfloat16 as Floats
//   upper_bf16(a), lower_bf16(a)  of the two bfloat16 in each lane the one in the upper, in the lower bits
//   rounded_bf16(a)  to the nearest bfloat16, ties to even; of what is not a number anything
//   both(a, b)       the bits that both have, as either has those of one of them
//   store_bytes      kBlock whole numbers within int8, one after the other; returns their sum
template <typename V>
concept FloatVector = requires(typename V::Floats a, typename V::Ints ints, typename V::First first,
                               typename V::Lanes lanes, float number, float* place, const uint16_t* halves,
                               const typename V::Floats (&partial_sums)[kLanes / V::kWidth],
                               const typename V::Ints (&block)[kBlock / V::kWidth], int8_t* bytes, int64_t at) {
  V::zero(), V::all(number), V::all_ints(1), V::lane_numbers();
  V::load(place), V::load(place, Whole{}), V::load(place, first), V::first(at);
  V::store(place, a), V::store(place, Whole{}, a), V::store(place, first, a), V::store_ints(nullptr, ints);
  V::widen(place), V::widen(halves), V::upper_bf16(a), V::lower_bf16(a), V::rounded_bf16(a), V::both(a, a);
  V::add(a, a), V::sub(a, a), V::mul(a, a), V::div(a, a), V::fma(a, a, a), V::min(a, a), V::max(a, a);
  V::negate(a), V::magnitude(a), V::round(a), V::times_power_of_two(a, a), V::either(a, a);
  V::greater(a, a), V::select(lanes, a, a), V::select(lanes, ints, ints), V::within(at, at, at, a, a);
  V::within(at, at, at, ints, ints);
  V::fold(partial_sums), V::largest(a), V::first_lane(a);
  V::to_ints(a), V::to_floats(ints), V::add(ints, ints), V::first_of(first, ints);
  V::store_bytes(bytes, block);
};

template <typename V>
using Floats = typename V::Floats;
template <typename V>
using Ints = typename V::Ints;

// Calls body(i, lanes) for every vector of [0, width): whole ones, then what is left.
template <FloatVector V, typename Body>
[[gnu::always_inline]] inline void for_vectors(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + V::kWidth <= width; i += V::kWidth) body(i, Whole{});
  if (i < width) body(i, V::first(width - i));
}

// Calls body.operator()<Count>(first) over [begin, end): blocks of `Most`, then one block of what is left.
template <int Most, typename Body>
inline void for_blocks(int64_t begin, int64_t end, const Body& body) {
  for (; begin + Most <= end; begin += Most) body.template operator()<Most>(begin);
  if constexpr (Most > 1) {
    if (begin < end) for_blocks<Most - 1>(begin, end, body);
  }
}

}  // namespace
}  // namespace honed::shared
