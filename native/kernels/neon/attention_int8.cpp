// Attention over an int8 cache: both products are of integers. Codes are two bytes each, and each of the two planes of
// them is multiplied with the cells as they are, four to a lane; what a page adds becomes float once. Keys or features
// are in lanes, and no sum is ever folded over lanes. Whatever the cells out of sight hold, the codes of their weights
// are 0.
#include <utility>

#include "kernels/neon/attention_int8.h"
#include "kernels/neon/cells.h"
#include "kernels/neon/slots.h"
#include "kernels/neon/softmax.h"
#include "kernels/paging/head.h"

namespace honed::neon {
namespace {

constexpr int64_t kVectorBytes = 16;
constexpr int64_t kGroupQuads = kKeyGroup / 4;
constexpr int64_t kQuadBytes = kPageTokens * 4;
constexpr int kCodes = 16;  // of a register, four quads: what the lanes of an instruction choose from
constexpr int64_t kPlanes = 2 * kCodes;  // bytes: the high ones of sixteen codes, then the low ones
constexpr int kPageVectors = kPageTokens / kVector;

// Behind the scores of a row: the steps of its weights, page by page, and what its products with keys are scaled by.
constexpr int64_t kWeightSteps = kSpanTokens;
constexpr int64_t kQueryStep = kWeightSteps + kSpanTokens / kPageTokens;
static_assert(kQueryStep < kScoreStride);

// Sums, two of each, in 24 of 32 registers at most: of three rows by four vectors.
constexpr int kMostRows = 3;
template <int Rows>
constexpr int kVectorsOf = Rows == 1 ? 8 : 4;

// Calls body.operator()<I>() for I from 0 to `Count` - 1. A loop over an array of sums is unrolled too late for gcc to
// keep the array in registers from one quad to the next, and so is whatever is not inlined first of all.
template <int Count, typename Body>
[[gnu::always_inline]] static inline void unrolled(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body.template operator()<I>(), ...);
  }(std::make_integer_sequence<int, Count>());
}

// Sums of the products of both planes.
template <int Rows, int Vectors>
struct Products {
  int32x4_t high[Rows][Vectors];
  int32x4_t low[Rows][Vectors];
};

template <int Rows, int Vectors>
[[gnu::always_inline]] static inline void clear(Products<Rows, Vectors>& sums) {
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      sums.high[r][v] = vdupq_n_s32(0);
      sums.low[r][v] = vdupq_n_s32(0);
    });
  });
}

// Adds the products of up to four quads: cells of vector v of quad i from load(i, v), planes of a row `row_bytes`
// behind those of the row before.
template <int Quads, int Rows, int Vectors, typename Load>
[[gnu::always_inline]] static inline void add_quads(const Load& load, const int8_t* planes, int64_t row_bytes,
                                                    Products<Rows, Vectors>& sums) {
  int8x16_t high[Rows];
  int8x16_t low[Rows];
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    high[r] = vld1q_s8(planes + r * row_bytes);
    low[r] = vld1q_s8(planes + r * row_bytes + kCodes);
  });
  unrolled<Quads>([&]<int i>() __attribute__((always_inline)) {
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      const int8x16_t cells = load(i, v);
      unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
        sums.high[r][v] = vdotq_laneq_s32(sums.high[r][v], cells, high[r], i);
        sums.low[r][v] = vdotq_laneq_s32(sums.low[r][v], cells, low[r], i);
      });
    });
  });
}

template <int Rows, int Vectors>
[[gnu::always_inline]] static inline float32x4_t total(const Products<Rows, Vectors>& sums, int r, int v) {
  return vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(sums.high[r][v], 7), sums.low[r][v]));
}

// Splits sixteen codes into c = 128 high + low, low from -Below on.
template <int Below>
static inline void store_planes(const int32x4_t (&codes)[kCodes / kVector], int8_t* planes) {
  int16x4_t high[kCodes / kVector];
  int16x4_t low[kCodes / kVector];
  for (int v = 0; v < kCodes / kVector; ++v) {
    const int32x4_t upper = vshrq_n_s32(vaddq_s32(codes[v], vdupq_n_s32(Below)), 7);
    high[v] = vmovn_s32(upper);
    low[v] = vmovn_s32(vsubq_s32(codes[v], vshlq_n_s32(upper, 7)));
  }
  const auto narrow = [](const int16x4_t* words) {
    return vcombine_s8(vmovn_s16(vcombine_s16(words[0], words[1])), vmovn_s16(vcombine_s16(words[2], words[3])));
  };
  vst1q_s8(planes, narrow(high));
  vst1q_s8(planes + kCodes, narrow(low));
}

// All ones in the lanes of keys `key` to `key + 3` that lie in [first, end).
static inline uint32x4_t in_sight(int64_t key, int64_t first, int64_t end) {
  constexpr int32_t kLaneNumbers[kVector] = {0, 1, 2, 3};
  const int32x4_t keys = vaddq_s32(vdupq_n_s32(static_cast<int32_t>(key)), vld1q_s32(kLaneNumbers));
  const uint32x4_t from_first = vcgeq_s32(keys, vdupq_n_s32(static_cast<int32_t>(first)));
  return vandq_u32(from_first, vcltq_s32(keys, vdupq_n_s32(static_cast<int32_t>(end))));
}

static inline int32x4_t keep(int32x4_t codes, uint32x4_t mask) {
  return vandq_s32(codes, vreinterpretq_s32_u32(mask));
}

static inline int8_t* query_planes(const Tile& tile) { return reinterpret_cast<int8_t*>(tile.q); }

// The codes of q as [head_dim / 16, up][rows] planes, zeros behind the last feature.
void encode_query(const Tile& tile, int64_t row) {
  const int64_t head_dim = tile.args.head_dim;
  const float* q = tile.query(row);
  const float largest = largest_magnitude(q, head_dim);
  const float inverse = inverse_step<kQueryCodes>(largest);
  int8_t* planes = query_planes(tile) + row * kPlanes;
  for (int64_t d = 0; d < head_dim; d += kCodes, planes += tile.rows * kPlanes) {
    int32x4_t codes[kCodes / kVector];
    for (int v = 0; v < kCodes / kVector; ++v) {
      const int64_t at = d + v * kVector;
      const int64_t left = head_dim - at;
      const float32x4_t four = left > 0 ? load_first(q + at, left) : vdupq_n_f32(0.0f);
      codes[v] = codes_within<kQueryCodes>(four, inverse);
      if (left < kVector) codes[v] = keep(codes[v], in_sight(at, 0, head_dim));  // 0 * infinity is not a zero
    }
    store_planes<64>(codes, planes);
  }
  tile.scores_of(row)[kQueryStep] = largest / static_cast<float>(kQueryCodes) * tile.args.scale;
}

// Scaled scores of `Vectors` vectors of keys of one page for `Rows` rows, those out of sight among them. `next` is what
// will be read a while after this page.
template <int Rows, int Vectors>
static inline void score_block(const Tile& tile, int64_t row, const int8_t* keys, const int8_t* next,
                               const float* scales, float* row_scores, int64_t slot) {
  const int64_t quads = (tile.args.head_dim + 3) / 4;
  const float* steps = tile.scores_of(row) + kQueryStep;
  const int8_t* planes = query_planes(tile) + row * kPlanes;
  const int64_t next_planes = tile.rows * kPlanes;
  const int8_t* cells = keys + slot * 4;
  const auto load = [&](int64_t i, int64_t v) __attribute__((always_inline)) {
    return vld1q_s8(cells + i * kQuadBytes + v * kVectorBytes);
  };
  for (int64_t begin = 0; begin < quads; begin += kGroupQuads, scales += kPageTokens) {
    const int64_t end = begin + kGroupQuads < quads ? begin + kGroupQuads : quads;
    Products<Rows, Vectors> products;
    clear(products);
    int64_t quad = begin;
    for (; quad + 4 <= end; quad += 4, planes += next_planes, cells += 4 * kQuadBytes) {
      for (int64_t i = quad; i < quad + 4; ++i) prefetch(next, i * kQuadBytes + slot * 4, Vectors * kVectorBytes);
      add_quads<4>(load, planes, kPlanes, products);
    }
    if (quad < end) {  // of the last group only
      prefetch(next, quad * kQuadBytes + slot * 4, Vectors * kVectorBytes);
      with_count<3>(end - quad, [&]<int Quads>() __attribute__((always_inline)) {
        add_quads<Quads>(load, planes, kPlanes, products);
      });
    }
    unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
      const float step = steps[r * kScoreStride];
      unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
        float* place = row_scores + r * kScoreStride + slot + v * kVector;
        const float32x4_t before = begin == 0 ? vdupq_n_f32(0.0f) : vld1q_f32(place);
        const float32x4_t dot = vfmaq_f32(before, total(products, r, v), vld1q_f32(scales + slot + v * kVector));
        vst1q_f32(place, end == quads ? vmulq_n_f32(dot, step) : dot);
      });
    });
  }
}

void score(const Tile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* keys = tile.keys<int8_t>(page);
    const int8_t* next = tile.after_keys<int8_t>(page);
    const float* scales = paging::scales_of(keys, tile.args.head_dim);
    prefetch(paging::scales_of(next, tile.args.head_dim), 0, key_groups(tile.args.head_dim) * kPageTokens);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = kVectorsOf<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * kVector) {
        score_block<Rows, kVectors>(tile, row, keys, next, scales, scores + row * kScoreStride, slot);
      }
    });
  }
}

static inline float& weight_step(const Tile& tile, int64_t row, int64_t page) {
  return tile.scores_of(row)[kWeightSteps + page - tile.span_first / kPageTokens];
}

// The weights of one row and page, times the scales of their values, become codes, in their place: two pairs of planes.
void encode_weights(const Tile& tile, int64_t row, int64_t page, const float* scales) {
  float* weights = tile.scores_of(row, page);
  const int64_t first = tile.first(row) - page * kPageTokens;
  const int64_t end = tile.last(row) + 1 - page * kPageTokens;
  const bool whole = first <= 0 && end >= kPageTokens;
  float32x4_t scaled[kPageVectors];
  float32x4_t largest = vdupq_n_f32(0.0f);
  for (int v = 0; v < kPageVectors; ++v) {
    const int64_t at = v * kVector;
    scaled[v] = vmulq_f32(vld1q_f32(weights + at), vld1q_f32(scales + at));
    if (!whole) scaled[v] = vbslq_f32(in_sight(at, first, end), scaled[v], vdupq_n_f32(0.0f));
    largest = vmaxq_f32(largest, scaled[v]);
  }
  const float peak = vmaxvq_f32(largest);
  const float inverse = inverse_step<kWeightCodes>(peak);
  constexpr int kVectors = kCodes / kVector;
  for (int half = 0; half < kPageTokens / kCodes; ++half) {
    int32x4_t codes[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      codes[v] = codes_within<kWeightCodes>(scaled[half * kVectors + v], inverse);
      // Hidden again: 0 * infinity is not a zero.
      if (!whole) codes[v] = keep(codes[v], in_sight(half * kCodes + v * kVector, first, end));
    }
    store_planes<0>(codes, reinterpret_cast<int8_t*>(weights) + half * kPlanes);
  }
  weight_step(tile, row, page) = peak / static_cast<float>(kWeightCodes);
}

// The cells of the first `features` (at least one) of four features, zeros behind them; no others are touched. Without
// a call, which would cost all registers.
static inline int8x16_t load_features(const int8_t* cells, int64_t features) {
  if (features >= kVector) return vld1q_s8(cells);
  int32_t four[3] = {};
  std::memcpy(four, cells, 4);
  if (features > 1) std::memcpy(four + 1, cells + 4, 4);
  if (features > 2) std::memcpy(four + 2, cells + 8, 4);
  return vreinterpretq_s8_s32(int32x4_t{four[0], four[1], four[2], 0});
}

// Adds the values of a page, `Vectors` vectors of features from d on, of which the last holds `last` real ones, to the
// sums in the partials of `Rows` rows.
template <int Rows, int Vectors>
static inline void weigh_block(const Tile& tile, int64_t row, int64_t page, const int8_t* values, const int8_t* next,
                               int64_t d, int64_t last) {
  Products<Rows, Vectors> products;
  clear(products);
  const int64_t quad_bytes = tile.args.head_dim * 4;
  const int8_t* planes = reinterpret_cast<const int8_t*>(tile.scores_of(row, page));
  const int8_t* cells = values + d * 4;
  const auto load = [&](int64_t i, int64_t v) __attribute__((always_inline)) {
    const int8_t* place = cells + i * quad_bytes + v * kVectorBytes;
    return v + 1 < Vectors ? vld1q_s8(place) : load_features(place, last);
  };
  for (int64_t quad = 0; quad < kPageTokens / 4; quad += 4, planes += kPlanes, cells += 4 * quad_bytes) {
    for (int64_t i = quad; i < quad + 4; ++i) prefetch(next, i * quad_bytes + d * 4, Vectors * kVectorBytes);
    add_quads<4>(load, planes, kScoreStride * 4, products);
  }
  const float* steps = &weight_step(tile, row, page);
  float* sums = tile.sums_of(row) + d;
  const int64_t stride = kPartialValues + tile.args.head_dim;
  unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
    const float step = steps[r * kScoreStride];
    unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
      const int64_t count = v + 1 < Vectors ? kVector : last;
      float* place = sums + r * stride + v * kVector;
      store_first(place, count, vfmaq_n_f32(load_first(place, count), total(products, r, v), step));
    });
  });
}

void weigh(const Tile& tile) {
  const int64_t head_dim = tile.args.head_dim;
  tile.clear_sums();
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const int8_t* values = tile.values<int8_t>(page);
    const int8_t* next = tile.after_values<int8_t>(page);
    prefetch(paging::scales_of(next, head_dim), 0, kPageTokens);
    for (int64_t row = 0; row < tile.rows; ++row) encode_weights(tile, row, page, paging::scales_of(values, head_dim));
    for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      for (int64_t d = 0; d < head_dim; d += kVectorsOf<Rows> * kVector) {
        const int64_t left = (head_dim - d + kVector - 1) / kVector;
        with_count<kVectorsOf<Rows>>(left, [&]<int Vectors>() {
          weigh_block<Rows, Vectors>(tile, row, page, values, next, d, head_dim - d - (Vectors - 1) * kVector);
        });
      }
    });
  }
}

}  // namespace

void attend_int8(const AttentionArgs& args) {
  const Tile tile(args);
  tile.prefetch_first();
  for (int64_t row = 0; row < tile.rows; ++row) encode_query(tile, row);
  score(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of(tile, row);
  weigh(tile);
}

}  // namespace honed::neon
