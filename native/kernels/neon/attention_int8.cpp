// Attention over an int8 cache: codes are two bytes each, and each of the two planes of them is multiplied with the cells
// as they are, four to a lane.
#include "kernels/shared/attention_int8.h"

#include "kernels/neon/attention_int8.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

using shared::kQuadBytes;
using shared::kRowBytes;
using shared::unrolled;

constexpr int64_t kVectorBytes = 16;
constexpr int kCodes = 16;  // of a register, four quads: what the lanes of an instruction choose from
constexpr int kCodeVectors = kCodes / kVector;
constexpr int64_t kPlanes = 2 * kCodes;  // bytes: the high ones of sixteen codes, then the low ones

// Sums of the products of both planes.
template <int Rows, int Vectors>
struct Sums {
  int32x4_t high[Rows][Vectors];
  int32x4_t low[Rows][Vectors];

  [[gnu::always_inline]] void clear() {
    unrolled<Rows>([&]<int r>() __attribute__((always_inline)) {
      unrolled<Vectors>([&]<int v>() __attribute__((always_inline)) {
        high[r][v] = vdupq_n_s32(0);
        low[r][v] = vdupq_n_s32(0);
      });
    });
  }
  [[gnu::always_inline]] float32x4_t total(int r, int v) const {
    return vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(high[r][v], 7), low[r][v]));
  }
};

// Adds the products of up to four quads: cells of vector v of quad i from load(i, v), planes of a row `row_bytes`
// behind those of the row before.
template <int Quads, int Rows, int Vectors, typename Load>
[[gnu::always_inline]] inline void add_quads(const Load& load, const int8_t* planes, int64_t row_bytes,
                                             Sums<Rows, Vectors>& sums) {
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

// Splits sixteen codes into c = 128 high + low, low from -Below on.
template <int Below>
inline void store_planes(const int32x4_t* codes, int8_t* planes) {
  int16x4_t high[kCodeVectors];
  int16x4_t low[kCodeVectors];
  for (int v = 0; v < kCodeVectors; ++v) {
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

// The cells of the first `features` (at least one) of four features, zeros behind them; no others are touched. Without
// a call, which would cost all registers.
inline int8x16_t load_features(const int8_t* cells, int64_t features) {
  if (features >= kVector) return vld1q_s8(cells);
  int32_t four[3] = {};
  std::memcpy(four, cells, 4);
  if (features > 1) std::memcpy(four + 1, cells + 4, 4);
  if (features > 2) std::memcpy(four + 2, cells + 8, 4);
  return vreinterpretq_s8_s32(int32x4_t{four[0], four[1], four[2], 0});
}

struct Integers {
  using Vector = neon::Vector;
  // Sums, two of each, in 24 of 32 registers at most: of three rows by four vectors.
  static constexpr int kMostRows = 3;
  template <int Rows>
  static constexpr int kVectors = Rows == 1 ? 8 : 4;
  template <int Rows, int Vectors>
  using Products = Sums<Rows, Vectors>;

  // Of q: [head_dim / 16, up][rows] planes.
  static int8_t* query(const shared::Tile& tile, int64_t row, int64_t sixteen) {
    return reinterpret_cast<int8_t*>(tile.q) + (sixteen * tile.rows + row) * kPlanes;
  }
  static void put_query(const shared::Tile& tile, int64_t row, int64_t d, const int32x4_t (&codes)[kCodeVectors]) {
    store_planes<64>(codes, query(tile, row, d / kCodes));
  }

  // Two pairs of planes.
  static void put_weights(float* place, const int32x4_t (&codes)[2 * kCodeVectors]) {
    int8_t* planes = reinterpret_cast<int8_t*>(place);
    store_planes<0>(codes, planes);
    store_planes<0>(codes + kCodeVectors, planes + kPlanes);
  }

  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void add_keys(const shared::Tile& tile, int64_t row, const int8_t* keys,
                                              const int8_t* next, int64_t begin, int64_t end, int64_t slot,
                                              Sums<Rows, Vectors>& sums) {
    const int8_t* planes = query(tile, row, begin / 4);
    const int8_t* cells = keys + begin * kQuadBytes + slot * 4;
    const auto load = [&](int64_t i, int64_t v) __attribute__((always_inline)) {
      return vld1q_s8(cells + i * kQuadBytes + v * kVectorBytes);
    };
    int64_t quad = begin;
    for (; quad + 4 <= end; quad += 4, planes += tile.rows * kPlanes, cells += 4 * kQuadBytes) {
      for (int64_t i = quad; i < quad + 4; ++i) {
        paging::prefetch(next, i * kQuadBytes + slot * 4, Vectors * kVectorBytes);
      }
      add_quads<4>(load, planes, kPlanes, sums);
    }
    if (quad == end) return;
    paging::prefetch(next, quad * kQuadBytes + slot * 4, Vectors * kVectorBytes);
    shared::with_count<3>(end - quad, [&]<int Quads>() __attribute__((always_inline)) {
      add_quads<Quads>(load, planes, kPlanes, sums);
    });
  }

  template <int Rows, int Vectors>
  [[gnu::always_inline]] static void add_values(const shared::Tile& tile, int64_t row, int64_t page,
                                                const int8_t* values, const int8_t* next, int64_t d, int64_t last,
                                                Sums<Rows, Vectors>& sums) {
    const int64_t quad_bytes = tile.args.head_dim * 4;
    const int8_t* planes = reinterpret_cast<const int8_t*>(tile.scores_of(row, page));
    const int8_t* cells = values + d * 4;
    const auto load = [&](int64_t i, int64_t v) __attribute__((always_inline)) {
      const int8_t* place = cells + i * quad_bytes + v * kVectorBytes;
      return v + 1 < Vectors ? vld1q_s8(place) : load_features(place, last);
    };
    for (int64_t quad = 0; quad < shared::kPageQuads; quad += 4, planes += kPlanes, cells += 4 * quad_bytes) {
      for (int64_t i = quad; i < quad + 4; ++i) {
        paging::prefetch(next, i * quad_bytes + d * 4, Vectors * kVectorBytes);
      }
      add_quads<4>(load, planes, kRowBytes, sums);
    }
  }
};

}  // namespace

void attend_int8(const AttentionArgs& args) { shared::attend_int8<Integers>(args); }

}  // namespace honed::neon
