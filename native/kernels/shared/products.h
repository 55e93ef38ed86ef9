// How the cells of a cache of floats are multiplied with queries and weights: one after the other, or, of bfloat16, two
// features or two keys in a step. Instructions that take both at once are a type of the same form in the folder of
// their set.
//
//   Vector, Cell
//   kCells      of one lane, multiplied in a step
//   kParts      of a step, one after the other; each goes over all rows before the next, which needs fewest registers
//   kElements   four bytes each, that a query or a row of weights keeps for a step
//   put_query(source, head_dim, rows, q)   the query of a row in stretches of kLanes elements that lie `rows` apart
//   cells<Part>(place, lanes, keep)        those of kWidth lanes; of a step, those that `keep` has
//   factor<Part>(elements)                 what a query or a row of weights kept for the step, in every lane
//   multiply(factor, cells, sums)          the products onto the sums
//   weight(p)                              exp(score - largest) as it is multiplied
//   put_weights(scores, key, p)            the weights of kWidth keys, over scores that are not needed any more
#pragma once

#include <bit>

#include "kernels/paging/tile.h"
#include "kernels/shared/vector.h"

namespace honed::shared {
namespace {

// All cells of a step.
struct EveryCell {};

template <FloatVector V>
struct SingleProducts {
  using Vector = V;
  using Cell = float;
  static constexpr int kCells = 1;
  static constexpr int kParts = 1;
  static constexpr int kElements = 1;

  static void put_query(const float* source, int64_t head_dim, int64_t rows, float* q) {
    for_vectors<V>(head_dim, [&](int64_t d, auto lanes) {
      V::store(q + d / kLanes * kLanes * rows + d % kLanes, V::load(source + d, lanes));
    });
  }
  template <int Part, typename Lanes>
  static Floats<V> cells(const float* place, Lanes lanes, EveryCell) {
    return V::load(place, lanes);
  }
  template <int Part>
  static Floats<V> factor(const float* elements) {
    return V::all(*elements);
  }
  static Floats<V> multiply(Floats<V> factor, Floats<V> cells, Floats<V> sums) { return V::fma(factor, cells, sums); }
  static Floats<V> weight(Floats<V> p) { return p; }
  static void put_weights(float* scores, int64_t key, Floats<V> p) { V::store(scores + key, p); }
};

// Queries rounded to bfloat16: whatever is not a number stays none.
template <FloatVector V>
inline Floats<V> rounded_query(Floats<V> q) {
  const Floats<V> rounded = V::rounded_bf16(q);
  return V::select(V::greater(V::magnitude(q), V::all(-1.0f)), rounded, V::add(q, q));
}

template <FloatVector V>
struct PairProducts {
  using Vector = V;
  using Cell = uint16_t;
  static constexpr int kCells = 2;
  static constexpr int kParts = 2;  // the odd cells, then the even ones
  static constexpr int kElements = 2;

  static void put_query(const float* source, int64_t head_dim, int64_t rows, float* q) {
    for_vectors<V>(head_dim, [&](int64_t d, auto lanes) {
      V::store(q + d / kLanes * kLanes * rows + d % kLanes, rounded_query<V>(V::load(source + d, lanes)));
    });
  }
  template <int Part, typename Lanes>
  static Floats<V> cells(const uint16_t* place, Lanes lanes, EveryCell) {
    return half<Part>(V::load(reinterpret_cast<const float*>(place), lanes));
  }
  template <int Part, typename Lanes>
  static Floats<V> cells(const uint16_t* place, Lanes lanes, Floats<V> keep) {
    return half<Part>(V::both(V::load(reinterpret_cast<const float*>(place), lanes), keep));
  }
  template <int Part>
  static Floats<V> factor(const float* elements) {
    return V::all(elements[1 - Part]);
  }
  static Floats<V> multiply(Floats<V> factor, Floats<V> cells, Floats<V> sums) { return V::fma(factor, cells, sums); }
  static Floats<V> weight(Floats<V> p) { return V::rounded_bf16(p); }
  static void put_weights(float* scores, int64_t key, Floats<V> p) { V::store(scores + key, p); }

 private:
  template <int Part>
  static Floats<V> half(Floats<V> pairs) {
    if constexpr (Part == 0) return V::upper_bf16(pairs);
    else return V::lower_bf16(pairs);
  }
};

// Of two keys that are multiplied together the second one, or the first.
template <FloatVector V>
inline Floats<V> second_cells() {
  return V::all(std::bit_cast<float>(0xffff0000u));
}
template <FloatVector V>
inline Floats<V> first_cells() {
  return V::all(std::bit_cast<float>(0x0000ffffu));
}

}  // namespace
}  // namespace honed::shared
