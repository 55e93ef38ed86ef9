// Causal attention of a tile of rows over one span of the paged KV cache: keys in lanes for the scores, features in
// lanes for the values. Every page is read once and serves all rows while it is in the first cache, and every vector
// of it serves as many rows as there are registers.
#include "kernels/neon/attention_int8.h"
#include "kernels/neon/cells.h"
#include "kernels/neon/slots.h"
#include "kernels/neon/softmax.h"

namespace honed::neon {
namespace {

// Sums in 24 of 32 registers: up to three rows by eight vectors, more rows by four.
constexpr int kMostRows = 6;
constexpr int kWideRows = 3;
constexpr int kWideVectors = 8;

template <int Rows>
constexpr int kVectorsOf = Rows <= kWideRows ? kWideVectors : kWideVectors / 2;

// Copies q in stretches of 16 features, [head_dim / 16][rows][16]: what a block of rows needs of it lies at fixed
// distances.
void gather_q(const Tile& tile) {
  const int64_t head_dim = tile.args.head_dim;
  for (int64_t row = 0; row < tile.rows; ++row) {
    const float* source = tile.query(row);
    for (int64_t d = 0; d < head_dim; d += kLanes) {
      float* place = tile.q + d * tile.rows + row * kLanes;
      for (int64_t i = 0; i < kLanes && d + i < head_dim; i += kVector) {
        vst1q_f32(place + i, load_first(source + d + i, head_dim - d - i));
      }
    }
  }
}

// Scaled scores of `Vectors` vectors of keys of one page for `Rows` rows, those out of sight among them. `next` is what
// will be read a while after this page.
template <int Rows, int Vectors, typename Cell>
static inline void score_block(const Tile& tile, int64_t row, const Cell* keys, const Cell* next, float* scores) {
  float32x4_t sums[Rows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[r][v] = vdupq_n_f32(0.0f);
  }
  const int64_t head_dim = tile.args.head_dim;
  for (int64_t d = 0; d < head_dim; ++d) {
    const float* q = tile.q + (d / kLanes * tile.rows + row) * kLanes + d % kLanes;
    prefetch(next, d * kPageTokens, Vectors * kVector);
    float32x4_t key[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) key[v] = widen(keys + d * kPageTokens + v * kVector);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const float32x4_t value = vdupq_n_f32(q[r * kLanes]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[r][v] = vfmaq_f32(sums[r][v], value, key[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      vst1q_f32(scores + r * kScoreStride + v * kVector, vmulq_n_f32(sums[r][v], tile.args.scale));
    }
  }
}

template <typename Cell>
void score(const Tile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const Cell* keys = tile.keys<Cell>(page);
    const Cell* next = tile.after_keys<Cell>(page);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = kVectorsOf<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * kVector) {
        score_block<Rows, kVectors>(tile, row, keys + slot, next + slot, scores + row * kScoreStride + slot);
      }
    });
  }
}

// Keys [begin, end) of each page of [page_begin, page_end).
struct Run {
  int64_t page_begin;
  int64_t page_end;
  int64_t begin;
  int64_t end;
};

// The keys of a run for `Rows` rows: `Vectors` registers of features from d on, of
// which the last holds `last` real ones, onto the sums in the partials.
template <int Rows, int Vectors, typename Cell>
static inline void weigh_block(const Tile& tile, int64_t d, const Run& run, const float* weights, int64_t last,
                               float* sums) {
  const int64_t head_dim = tile.args.head_dim;
  const int64_t stride = kPartialValues + head_dim;
  float32x4_t total[Rows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      const float* place = sums + r * stride + v * kVector;
      total[r][v] = v + 1 < Vectors ? vld1q_f32(place) : load_first(place, last);
    }
  }
  for (int64_t page = run.page_begin; page < run.page_end; ++page, weights += kPageTokens) {
    const Cell* values = tile.values<Cell>(page) + d;
    const Cell* next = tile.after_values<Cell>(page) + d;
    for (int64_t key = run.begin; key < run.end; ++key) {
      const Cell* cells = values + key * head_dim;
      prefetch(next, key * head_dim, Vectors * kVector);
      float32x4_t value[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        value[v] = v + 1 < Vectors ? widen(cells + v * kVector) : widen_first(cells + v * kVector, last);
      }
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        const float32x4_t weight = vdupq_n_f32(weights[r * kScoreStride + key]);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) total[r][v] = vfmaq_f32(total[r][v], weight, value[v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      float* place = sums + r * stride + v * kVector;
      store_first(place, v + 1 < Vectors ? kVector : last, total[r][v]);
    }
  }
}

// The keys of a run for `Rows` rows, all features.
template <int Rows, typename Cell>
static inline void weigh_run(const Tile& tile, int64_t row, const Run& run) {
  if (run.page_begin >= run.page_end || run.begin >= run.end) return;
  const int64_t head_dim = tile.args.head_dim;
  const float* weights = tile.scores_of(row, run.page_begin);
  float* sums = tile.sums_of(row);
  for (int64_t d = 0; d < head_dim; d += kVectorsOf<Rows> * kVector) {
    const int64_t left = (head_dim - d + kVector - 1) / kVector;
    with_count<kVectorsOf<Rows>>(left, [&]<int Vectors>() {
      const int64_t last = head_dim - d - (Vectors - 1) * kVector;
      weigh_block<Rows, Vectors, Cell>(tile, d, run, weights, last < kVector ? last : kVector, sums + d);
    });
  }
}

static inline int64_t clip(int64_t key) { return key < 0 ? 0 : key > kPageTokens ? kPageTokens : key; }

// `Rows` rows over a page of which not all see the same keys: what all see together, what lies before and behind it
// row by row, so that every row has its keys in ascending order and no others.
template <int Rows, typename Cell>
static inline void weigh_ragged(const Tile& tile, int64_t row, int64_t page) {
  const int64_t page_key = page * kPageTokens;
  const int64_t end = clip(tile.last(row) + 1 - page_key);  // rows are in ascending position
  const int64_t begin = clip(tile.first(row + Rows - 1) - page_key);
  const int64_t shared_end = begin < end ? end : begin;
  for (int r = 0; Rows > 1 && r < Rows; ++r) {
    const int64_t last = clip(tile.last(row + r) + 1 - page_key);
    const int64_t first = clip(tile.first(row + r) - page_key);
    weigh_run<1, Cell>(tile, row + r, {page, page + 1, first, last < begin ? last : begin});
  }
  weigh_run<Rows, Cell>(tile, row, {page, page + 1, begin, end});
  for (int r = 0; Rows > 1 && r < Rows; ++r) {
    weigh_run<1, Cell>(tile, row + r, {page, page + 1, shared_end, clip(tile.last(row + r) + 1 - page_key)});
  }
}

template <typename Cell>
void weigh(const Tile& tile) {
  tile.clear_sums();
  // The pages that every row sees whole are one run, whose sums stay in registers; before and behind it, page by page.
  const int64_t whole_end = (tile.last(0) + 1) / kPageTokens;
  const int64_t after_first = (tile.first(tile.rows - 1) + kPageTokens - 1) / kPageTokens;
  const int64_t whole_begin = after_first < tile.page_end ? after_first : tile.page_end;
  const int64_t ragged_begin = whole_begin < whole_end ? whole_end : whole_begin;
  for_even_blocks<kMostRows>(tile.rows, [&]<int Rows>(int64_t row) {
    for (int64_t page = tile.page_begin; page < whole_begin; ++page) weigh_ragged<Rows, Cell>(tile, row, page);
    weigh_run<Rows, Cell>(tile, row, {whole_begin, whole_end, 0, kPageTokens});
    for (int64_t page = ragged_begin; page < tile.page_end; ++page) weigh_ragged<Rows, Cell>(tile, row, page);
  });
}

template <typename Cell>
void attend(const AttentionArgs& args) {
  const Tile tile(args);
  tile.prefetch_first();
  gather_q(tile);
  score<Cell>(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of(tile, row);
  weigh<Cell>(tile);
}

}  // namespace

void attention(const AttentionArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return attend<float>(args);
    case KvType::bf16: return attend<uint16_t>(args);
    case KvType::int8: return attend_int8(args);
  }
}

void attention_merge(const AttentionMergeArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  for (int64_t i = 0; i < args.rows * args.group; ++i) {
    float* state = args.partials + i * partial_floats;
    for (int64_t span = 1; span < args.count; ++span) {
      const float* next = state + span * args.span_stride;
      const float largest = state[0] > next[0] ? state[0] : next[0];
      const float32x4_t a = exp(vdupq_n_f32(state[0] - largest));
      const float32x4_t b = exp(vdupq_n_f32(next[0] - largest));
      state[0] = largest;
      state[1] = __builtin_fmaf(state[1], vgetq_lane_f32(a, 0), next[1] * vgetq_lane_f32(b, 0));
      for (int64_t d = 0; d < args.head_dim; d += kVector) {
        const int64_t count = args.head_dim - d;
        float* place = state + kPartialValues + d;
        const float32x4_t added = vmulq_f32(load_first(next + kPartialValues + d, count), b);
        store_first(place, count, vfmaq_f32(added, load_first(place, count), a));
      }
    }
    float* y = args.y + i / args.group * args.y_stride + i % args.group * args.head_dim;
    const float32x4_t sum = vdupq_n_f32(state[1]);
    for (int64_t d = 0; d < args.head_dim; d += kVector) {
      const int64_t count = args.head_dim - d;
      store_first(y + d, count, vdivq_f32(load_first(state + kPartialValues + d, count), sum));
    }
  }
}

}  // namespace honed::neon
