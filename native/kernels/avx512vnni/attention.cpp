// Causal attention of a tile of rows over one span of the paged KV cache: keys in lanes for the scores, features in
// lanes for the values. Every page is read once and serves all rows while it is in the first cache, and every vector
// of it serves as many rows as there are registers.
#include "kernels/avx512vnni/attention_int8.h"
#include "kernels/avx512vnni/cells.h"
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/stream.h"

namespace honed::avx512vnni {
namespace {

using paging::for_even_blocks;
using paging::Tile;

constexpr int kScoreRows = 12;  // 24 sums of 16 keys
constexpr int kValueRows = 6;   // 24 sums of 16 features
constexpr int kMostVectors = 4;  // of one stretch of head_dim

// A tile whose q lies in scratch in stretches of 16 features, [head_dim / 16][rows][16]: what a block of rows needs of
// it lies at fixed distances.
struct FloatTile : Tile {
  mutable Stream stream{*this};

  explicit FloatTile(const AttentionArgs& args) : Tile(args) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t d = 0; d < args.head_dim; d += kLanes) {
        const __mmask16 lanes = first_lanes(args.head_dim - d);
        _mm512_storeu_ps(q + d * rows + row * kLanes, _mm512_maskz_loadu_ps(lanes, query(row) + d));
      }
    }
  }
};

// Lines to ask for between the arithmetic of one line of cells.
template <typename Cell>
inline constexpr int kLinesAside = sizeof(Cell) / 2;

// Scaled scores of the 32 keys of one page for `Rows` rows, those out of sight among them.
template <int Rows, typename Cell>
static inline void score_block(const FloatTile& tile, int64_t row, const Cell* keys, float* scores) {
  __m512 low[Rows];
  __m512 high[Rows];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) low[r] = high[r] = _mm512_setzero_ps();
  const int64_t head_dim = tile.args.head_dim;
  for (int64_t d = 0; d < head_dim; ++d) {
    const float* q = tile.q + (d / kLanes * tile.rows + row) * kLanes + d % kLanes;
    tile.stream.ask<kLinesAside<Cell>>();
    const __m512 low_keys = widen(keys + d * kPageTokens);
    const __m512 high_keys = widen(keys + d * kPageTokens + kVector);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      const __m512 value = _mm512_set1_ps(q[r * kLanes]);
      low[r] = _mm512_fmadd_ps(value, low_keys, low[r]);
      high[r] = _mm512_fmadd_ps(value, high_keys, high[r]);
    }
  }
  const __m512 scale = _mm512_set1_ps(tile.args.scale);
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(scores + r * kScoreStride, _mm512_mul_ps(low[r], scale));
    _mm512_storeu_ps(scores + r * kScoreStride + kVector, _mm512_mul_ps(high[r], scale));
  }
}

template <typename Cell>
void score(const FloatTile& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const Cell* keys = tile.keys<Cell>(page);
    float* scores = tile.scores_of(0, page);
    for_even_blocks<kScoreRows>(tile.rows, [&]<int Rows>(int64_t row) {
      score_block<Rows>(tile, row, keys, scores + row * kScoreStride);
    });
  }
}

// Scores of one row become weights; its largest score and the sum of exp(score - largest) go to the partial. Weights
// of keys out of sight are whatever they come to.
template <typename Cell>
void weights_of(const FloatTile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kVector * kVector;
  __m512 largest = _mm512_set1_ps(-__builtin_inff());
  for (int64_t key = begin; key < end; key += kVector) {
    largest = _mm512_mask_max_ps(largest, lanes_within(key, first, end), largest, _mm512_loadu_ps(scores + key));
  }
  const float peak = _mm512_reduce_max_ps(largest) + 0.0f;  // of two zeros either could be the largest
  const __m512 shift = _mm512_set1_ps(peak);
  __m512 lanes = _mm512_setzero_ps();
  for (int64_t key = begin; key < end; key += kVector) {
    const __m512 p = exp(_mm512_sub_ps(_mm512_loadu_ps(scores + key), shift));
    lanes = _mm512_mask_add_ps(lanes, lanes_within(key, first, end), lanes, p);
    _mm512_storeu_ps(scores + key, p);
    tile.stream.ask<2 * kLinesAside<Cell>>();
  }
  tile.partial(row)[0] = peak;
  tile.partial(row)[1] = fold_lanes(lanes);
}

// Keys [begin, end) of each page of [page_begin, page_end).
struct Run {
  int64_t page_begin;
  int64_t page_end;
  int64_t begin;
  int64_t end;
};

// The keys of a run for `Rows` rows: a stretch of `Vectors` registers of head_dim
// from d on, of which the last may be masked, onto the sums in the partials.
template <int Rows, int Vectors, typename Cell>
static inline void weigh_block(const FloatTile& tile, int64_t d, const Run& run, const float* weights, float* sums) {
  const int64_t head_dim = tile.args.head_dim;
  const int64_t stride = kPartialValues + head_dim;
  const __mmask16 last_lanes = first_lanes(head_dim - d - (Vectors - 1) * kVector);
  __m512 total[Rows][Vectors];
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const __mmask16 lanes = v + 1 < Vectors ? __mmask16{0xffff} : last_lanes;
      total[r][v] = _mm512_maskz_loadu_ps(lanes, sums + r * stride + d + v * kVector);
    }
  }
  for (int64_t page = run.page_begin; page < run.page_end; ++page, weights += kPageTokens) {
    const Cell* values = tile.values<Cell>(page) + d;
    for (int64_t key = run.begin; key < run.end; ++key) {
      const Cell* cells = values + key * head_dim;
      tile.stream.ask<2 * kLinesAside<Cell>>();
      __m512 value[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        value[v] = v + 1 < Vectors ? widen(cells + v * kVector) : widen(cells + v * kVector, last_lanes);
      }
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        const __m512 weight = _mm512_set1_ps(weights[r * kScoreStride + key]);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) total[r][v] = _mm512_fmadd_ps(weight, value[v], total[r][v]);
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const __mmask16 lanes = v + 1 < Vectors ? __mmask16{0xffff} : last_lanes;
      _mm512_mask_storeu_ps(sums + r * stride + d + v * kVector, lanes, total[r][v]);
    }
  }
}

// The keys of a run for `Rows` rows, all features.
template <int Rows, typename Cell>
static inline void weigh_run(const FloatTile& tile, int64_t row, const Run& run) {
  if (run.page_begin >= run.page_end || run.begin >= run.end) return;
  const float* weights = tile.scores_of(row, run.page_begin);
  const int64_t vectors = (tile.args.head_dim + kVector - 1) / kVector;
  for_blocks<kMostVectors>(0, vectors, [&]<int Vectors>(int64_t vector) {
    weigh_block<Rows, Vectors, Cell>(tile, vector * kVector, run, weights, tile.sums_of(row));
  });
}

static inline int64_t clip(int64_t key) { return key < 0 ? 0 : key > kPageTokens ? kPageTokens : key; }

// `Rows` rows over a page of which not all see the same keys: what all see together, what lies before and behind it
// row by row, so that every row has its keys in ascending order and no others.
template <int Rows, typename Cell>
static inline void weigh_ragged(const FloatTile& tile, int64_t row, int64_t page) {
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
void weigh(const FloatTile& tile) {
  tile.clear_sums();
  // The pages that every row sees whole are one run, whose sums stay in registers; before and behind it, page by page.
  const int64_t whole_end = (tile.last(0) + 1) / kPageTokens;
  const int64_t after_first = (tile.first(tile.rows - 1) + kPageTokens - 1) / kPageTokens;
  const int64_t whole_begin = after_first < tile.page_end ? after_first : tile.page_end;
  const int64_t ragged_begin = whole_begin < whole_end ? whole_end : whole_begin;
  for_even_blocks<kValueRows>(tile.rows, [&]<int Rows>(int64_t row) {
    for (int64_t page = tile.page_begin; page < whole_begin; ++page) weigh_ragged<Rows, Cell>(tile, row, page);
    weigh_run<Rows, Cell>(tile, row, {whole_begin, whole_end, 0, kPageTokens});
    for (int64_t page = ragged_begin; page < tile.page_end; ++page) weigh_ragged<Rows, Cell>(tile, row, page);
  });
}

template <typename Cell>
void attend(const AttentionArgs& args) {
  const FloatTile tile(args);
  tile.prefetch_first();
  score<Cell>(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of<Cell>(tile, row);
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
      const __m512 a = exp(_mm512_set1_ps(state[0] - largest));
      const __m512 b = exp(_mm512_set1_ps(next[0] - largest));
      const __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(state[1]), a, _mm512_mul_ps(_mm512_set1_ps(next[1]), b));
      state[0] = largest;
      state[1] = _mm512_cvtss_f32(sum);
      for (int64_t d = 0; d < args.head_dim; d += kVector) {
        const __mmask16 lanes = first_lanes(args.head_dim - d);
        float* place = state + kPartialValues + d;
        const __m512 added = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, next + kPartialValues + d), b);
        _mm512_mask_storeu_ps(place, lanes, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, place), a, added));
      }
    }
    float* y = args.y + i / args.group * args.y_stride + i % args.group * args.head_dim;
    const __m512 sum = _mm512_set1_ps(state[1]);
    for (int64_t d = 0; d < args.head_dim; d += kVector) {
      const __mmask16 lanes = first_lanes(args.head_dim - d);
      _mm512_mask_storeu_ps(y + d, lanes, _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, state + kPartialValues + d), sum));
    }
  }
}

}  // namespace honed::avx512vnni
