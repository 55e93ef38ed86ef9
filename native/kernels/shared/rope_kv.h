// Head norms, rotary embedding, and the write of k and v to the page of the token.
#pragma once

#include <cstring>

#include "kernels/paging/head.h"
#include "kernels/shared/codes.h"
#include "kernels/shared/rms_norm.h"

namespace honed::shared {
namespace {

using paging::Place;

template <FloatVector V>
inline void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for_vectors<V>(half, [&](int64_t i, auto lanes) {
    const Floats<V> x1 = V::load(head + i, lanes);
    const Floats<V> x2 = V::load(head + half + i, lanes);
    const Floats<V> c = V::load(cos + i, lanes);
    const Floats<V> s = V::load(sin + i, lanes);
    V::store(head + i, lanes, V::fma(x1, c, V::negate(V::mul(x2, s))));
    V::store(head + half + i, lanes, V::fma(x2, c, V::mul(x1, s)));
  });
}

// Of pairs that lie next to each other: put apart, rotated, and put back.
template <FloatVector V>
inline void rotate_pairs(float* head, const float* cos, const float* sin, int64_t half) {
  constexpr int64_t kPairs = 64;
  float apart[2 * kPairs];
  for (int64_t first = 0; first < half; first += kPairs) {
    float* pairs = head + 2 * first;
    const int64_t count = half - first < kPairs ? half - first : kPairs;
    for (int64_t i = 0; i < count; ++i) {
      apart[i] = pairs[2 * i];
      apart[count + i] = pairs[2 * i + 1];
    }
    rotate<V>(apart, cos + first, sin + first, count);
    for (int64_t i = 0; i < count; ++i) {
      pairs[2 * i] = apart[i];
      pairs[2 * i + 1] = apart[count + i];
    }
  }
}

// The codes of `count` features; returns their scale.
template <FloatVector V>
inline float encode_features(const float* x, int64_t count, int8_t* codes) {
  const float largest = largest_magnitude<V>(x, count);
  const float inverse = inverse_step<127>(largest);
  for (int64_t d = 0; d < count; d += kBlock) encode_block<V>(x + d, count - d, inverse, codes + d);
  return largest / 127.0f;
}

template <FloatVector V>
inline void write_head(const Place<float>& place, const float* k, const float* v) {
  float* keys = place.keys + place.slot;
  for (int64_t d = 0; d < place.head_dim; ++d) keys[d * kPageTokens] = k[d];
  std::memcpy(place.values + place.slot * place.head_dim, v, static_cast<std::size_t>(place.head_dim) * sizeof(float));
}

// Keys have both features of a cell side by side, values those of two tokens.
template <FloatVector V>
inline void write_head(const Place<uint16_t>& place, const float* k, const float* v) {
  uint16_t* keys = place.keys + place.slot * 2;
  uint16_t* values = place.values + place.slot / 2 * 2 * place.head_dim + place.slot % 2;
  for_vectors<V>(place.head_dim, [&](int64_t d, auto lanes) {
    uint16_t key[V::kWidth];  // zeros behind the features
    uint16_t value[V::kWidth];
    V::store_bf16(key, V::load(k + d, lanes));
    V::store_bf16(value, V::load(v + d, lanes));
    const int64_t left = place.head_dim - d < V::kWidth ? place.head_dim - d : V::kWidth;
    for (int64_t i = 0; i < left; i += 2) std::memcpy(keys + (d + i) * kPageTokens, key + i, 2 * sizeof(uint16_t));
    for (int64_t i = 0; i < left; ++i) values[(d + i) * 2] = value[i];
  });
}

template <FloatVector V>
inline void write_head(const Place<int8_t>& place, const float* k, const float* v) {
  paging::write_codes(place, k, v, encode_features<V>);
}

template <FloatVector V>
void rope_kv(const RopeKvArgs& args) {
  const auto prepare = [&](float* head, const float* norm, const float* cos, const float* sin) {
    if (norm != nullptr) {
      scale_row<V>(head, inverse_rms<V>(head, args.head_dim, args.eps), norm, args.head_dim, head);
    }
    if (args.interleaved) rotate_pairs<V>(head, cos, sin, args.rotary_dim / 2);
    else rotate<V>(head, cos, sin, args.rotary_dim / 2);
  };
  paging::rotate_and_write(args, prepare, [](const auto& place, const float* k, const float* v) {
    write_head<V>(place, k, v);
  });
}

}  // namespace
}  // namespace honed::shared
