// Causal attention of a tile of rows over one span of the paged KV cache: keys in lanes for the scores, features in
// lanes for the values. Every page is read once and serves all rows while it is in the first cache, and every vector
// of it serves as many rows as there are registers.
#include "kernels/neon/cells.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

// Sums in 24 of 32 registers: up to three rows by eight vectors, more rows by four.
constexpr int kMostRows = 6;
constexpr int kWideRows = 3;
constexpr int kWideVectors = 8;
constexpr int64_t kLine = 64;
constexpr int64_t kAhead = 2;  // pages between a prefetch and the use

template <int Rows>
constexpr int kVectorsOf = Rows <= kWideRows ? kWideVectors : kWideVectors / 2;

// Calls body.operator()<Count>() for a count from 1 to `Most`.
template <int Most, typename Body>
static inline void with_count(int64_t count, const Body& body) {
  if constexpr (Most > 1) {
    if (count < Most) return with_count<Most - 1>(count, body);
  }
  body.template operator()<Most>();
}

// Calls body.operator()<Count>(first) over [0, end) in as few blocks of up to kMostRows as there can be, of one size or
// two that differ by one: a last block of one row would cost nearly what a full one does.
template <typename Body>
static inline void for_even_blocks(int64_t end, const Body& body) {
  const int64_t blocks = (end + kMostRows - 1) / kMostRows;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * end / blocks;
    with_count<kMostRows>((i + 1) * end / blocks - first, [&]<int Rows>() { body.template operator()<Rows>(first); });
  }
}

// A tile and its span: "rows" here are all pairs of a token and a query head, token by token.
template <typename Cell>
struct Tile {
  const AttentionArgs& args;
  int64_t rows;
  int64_t span_first;  // key
  int64_t page_begin;  // those in which any row sees a key
  int64_t page_end;
  float* q;       // [head_dim / 16][rows][16], in scratch
  float* scores;  // [rows][kScoreStride], in scratch

  explicit Tile(const AttentionArgs& tile) : args(tile) {
    const int64_t tokens = args.row_end - args.row_begin;
    rows = tokens * args.group;
    span_first = args.span * kSpanTokens;
    page_begin = first(0) / kPageTokens;
    page_end = last(rows - 1) / kPageTokens + 1;
    q = args.scratch;
    scores = args.scratch + rows * ((args.head_dim + kLanes - 1) / kLanes * kLanes);
  }

  // The first and last key of the span that a row sees.
  int64_t first(int64_t row) const {
    const int64_t key = args.window > 0 ? args.first_position + row / args.group - args.window + 1 : 0;
    return key > span_first ? key : span_first;
  }
  int64_t last(int64_t row) const {
    const int64_t position = args.first_position + row / args.group;
    return position < span_first + kSpanTokens ? position : span_first + kSpanTokens - 1;
  }
  const Cell* page(const std::byte* base, int64_t page) const {
    const std::byte* head = base + args.pages[page] * args.cache.page_bytes + args.kv_head * args.cache.head_bytes;
    return reinterpret_cast<const Cell*>(head);
  }
  const Cell* keys(int64_t index) const { return page(args.cache.keys, index); }
  const Cell* values(int64_t index) const { return page(args.cache.values, index); }
  // What is read kAhead pages after the keys or the values of this page; the last values are followed by themselves.
  const Cell* after_keys(int64_t index) const {
    const int64_t ahead = index + kAhead;
    return ahead < page_end ? keys(ahead) : after_values(page_begin + ahead - page_end - kAhead);
  }
  const Cell* after_values(int64_t index) const {
    return values(index + kAhead < page_end ? index + kAhead : page_end - 1);
  }
  // int8 only
  const float* scales(const Cell* page_cells) const {
    return reinterpret_cast<const float*>(page_cells + args.head_dim * kPageTokens);
  }
  float* scores_of(int64_t row) const { return scores + row * kScoreStride; }
  float* partial(int64_t row) const { return args.partials + row * (kPartialValues + args.head_dim); }

  // q in stretches of 16 features, rows side by side in each: what a block of rows needs of it lies at fixed distances.
  void gather_q() const {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t head = args.kv_head * args.group + row % args.group;
      const float* source = args.q + (args.row_begin + row / args.group) * args.q_stride + head * args.head_dim;
      for (int64_t d = 0; d < args.head_dim; d += kLanes) {
        float* place = q + d * rows + row * kLanes;
        for (int64_t i = 0; i < kLanes && d + i < args.head_dim; i += kVector) {
          vst1q_f32(place + i, load_first(source + d + i, args.head_dim - d - i));
        }
      }
    }
  }
};

// Asks for the cells of a page some time before they are needed: pages lie apart, so no hardware foresees the next.
// Into the second cache, which can wait for more lines at a time than the first.
template <typename Cell>
static inline void prefetch(const Cell* cells, int64_t from, int64_t count) {
  const char* line = reinterpret_cast<const char*>(cells + from);
  for (int64_t byte = 0; byte < count * static_cast<int64_t>(sizeof(Cell)); byte += kLine) {
    __builtin_prefetch(line + byte, 0, 2);
  }
}

// Scaled scores of `Vectors` vectors of keys of one page for `Rows` rows, those out of sight among them. `next` is what
// will be read a while after this page.
template <int Rows, int Vectors, typename Cell>
static inline void score_block(const Tile<Cell>& tile, int64_t row, const Cell* keys, const Cell* next,
                               const float* scales, float* scores) {
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
      if constexpr (sizeof(Cell) == 1) sums[r][v] = vmulq_f32(sums[r][v], vld1q_f32(scales + v * kVector));
      vst1q_f32(scores + r * kScoreStride + v * kVector, vmulq_n_f32(sums[r][v], tile.args.scale));
    }
  }
}

template <typename Cell>
void score(const Tile<Cell>& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
    const Cell* keys = tile.keys(page);
    const Cell* next = tile.after_keys(page);
    float* scores = tile.scores + page * kPageTokens - tile.span_first;
    for_even_blocks(tile.rows, [&]<int Rows>(int64_t row) {
      constexpr int kVectors = kVectorsOf<Rows>;
      for (int64_t slot = 0; slot < kPageTokens; slot += kVectors * kVector) {
        score_block<Rows, kVectors>(tile, row, keys + slot, next + slot, tile.scales(keys) + slot,
                                    scores + row * kScoreStride + slot);
      }
    });
  }
}

// Scores of one row become weights; its largest score and the sum of exp(score - largest) go to the partial.
template <typename Cell>
void weights_of(const Tile<Cell>& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kLanes * kLanes;
  const int64_t lanes_end = (end + kLanes - 1) / kLanes * kLanes;
  // Keys out of sight around those in sight: they weigh nothing in maximum and sum.
  const auto hide = [&](float value) {
    for (int64_t key = begin; key < first; ++key) scores[key] = value;
    for (int64_t key = end; key < lanes_end; ++key) scores[key] = value;
  };
  hide(-__builtin_inff());
  float32x4_t largest = vdupq_n_f32(-__builtin_inff());
  for (int64_t key = begin; key < lanes_end; key += kVector) largest = vmaxq_f32(largest, vld1q_f32(scores + key));
  const float peak = vmaxvq_f32(largest) + 0.0f;  // of two zeros either could be the largest
  const float32x4_t shift = vdupq_n_f32(peak);
  for (int64_t key = begin; key < lanes_end; key += kVector) {
    vst1q_f32(scores + key, exp(vsubq_f32(vld1q_f32(scores + key), shift)));
  }
  hide(0.0f);
  float32x4_t lanes[kLaneVectors];
  for (float32x4_t& lane : lanes) lane = vdupq_n_f32(0.0f);
  for (int64_t key = begin; key < lanes_end; key += kLanes) {
    for (int v = 0; v < kLaneVectors; ++v) {
      float* place = scores + key + v * kVector;
      const float32x4_t p = vld1q_f32(place);
      lanes[v] = vaddq_f32(lanes[v], p);
      if constexpr (sizeof(Cell) == 1) {
        const Cell* values = tile.values((tile.span_first + key) / kPageTokens);
        vst1q_f32(place, vmulq_f32(p, vld1q_f32(tile.scales(values) + key % kPageTokens + v * kVector)));
      }
    }
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

// The keys of a run for `Rows` rows: `Vectors` registers of features from d on, of
// which the last holds `last` real ones, onto the sums in the partials.
template <int Rows, int Vectors, typename Cell>
static inline void weigh_block(const Tile<Cell>& tile, int64_t d, const Run& run, const float* weights, int64_t last,
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
    const Cell* values = tile.values(page) + d;
    const Cell* next = tile.after_values(page) + d;
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
static inline void weigh_run(const Tile<Cell>& tile, int64_t row, const Run& run) {
  if (run.page_begin >= run.page_end || run.begin >= run.end) return;
  const int64_t head_dim = tile.args.head_dim;
  const float* weights = tile.scores_of(row) + run.page_begin * kPageTokens - tile.span_first;
  float* sums = tile.partial(row) + kPartialValues;
  for (int64_t d = 0; d < head_dim; d += kVectorsOf<Rows> * kVector) {
    const int64_t left = (head_dim - d + kVector - 1) / kVector;
    with_count<kVectorsOf<Rows>>(left, [&]<int Vectors>() {
      const int64_t last = head_dim - d - (Vectors - 1) * kVector;
      weigh_block<Rows, Vectors>(tile, d, run, weights, last < kVector ? last : kVector, sums + d);
    });
  }
}

static inline int64_t clip(int64_t key) { return key < 0 ? 0 : key > kPageTokens ? kPageTokens : key; }

// `Rows` rows over a page of which not all see the same keys: what all see together, what lies before and behind it
// row by row, so that every row has its keys in ascending order and no others.
template <int Rows, typename Cell>
static inline void weigh_ragged(const Tile<Cell>& tile, int64_t row, int64_t page) {
  const int64_t page_key = page * kPageTokens;
  const int64_t end = clip(tile.last(row) + 1 - page_key);  // rows are in ascending position
  const int64_t begin = clip(tile.first(row + Rows - 1) - page_key);
  const int64_t shared_end = begin < end ? end : begin;
  for (int r = 0; Rows > 1 && r < Rows; ++r) {
    const int64_t last = clip(tile.last(row + r) + 1 - page_key);
    const int64_t first = clip(tile.first(row + r) - page_key);
    weigh_run<1>(tile, row + r, {page, page + 1, first, last < begin ? last : begin});
  }
  weigh_run<Rows>(tile, row, {page, page + 1, begin, end});
  for (int r = 0; Rows > 1 && r < Rows; ++r) {
    weigh_run<1>(tile, row + r, {page, page + 1, shared_end, clip(tile.last(row + r) + 1 - page_key)});
  }
}

template <typename Cell>
void weigh(const Tile<Cell>& tile) {
  for (int64_t row = 0; row < tile.rows; ++row) {
    float* sums = tile.partial(row) + kPartialValues;
    for (int64_t d = 0; d < tile.args.head_dim; ++d) sums[d] = 0.0f;
  }
  // The pages that every row sees whole are one run, whose sums stay in registers; before and behind it, page by page.
  const int64_t whole_end = (tile.last(0) + 1) / kPageTokens;
  const int64_t after_first = (tile.first(tile.rows - 1) + kPageTokens - 1) / kPageTokens;
  const int64_t whole_begin = after_first < tile.page_end ? after_first : tile.page_end;
  const int64_t ragged_begin = whole_begin < whole_end ? whole_end : whole_begin;
  for_even_blocks(tile.rows, [&]<int Rows>(int64_t row) {
    for (int64_t page = tile.page_begin; page < whole_begin; ++page) weigh_ragged<Rows>(tile, row, page);
    weigh_run<Rows>(tile, row, {whole_begin, whole_end, 0, kPageTokens});
    for (int64_t page = ragged_begin; page < tile.page_end; ++page) weigh_ragged<Rows>(tile, row, page);
  });
}

template <typename Cell>
void attend(const AttentionArgs& args) {
  const Tile<Cell> tile(args);
  for (int64_t page = tile.page_begin; page < tile.page_end && page < tile.page_begin + kAhead; ++page) {
    prefetch(tile.keys(page), 0, args.head_dim * kPageTokens);
  }
  tile.gather_q();
  score(tile);
  for (int64_t row = 0; row < tile.rows; ++row) weights_of(tile, row);
  weigh(tile);
}

}  // namespace

void attention(const AttentionArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return attend<float>(args);
    case KvType::bf16: return attend<uint16_t>(args);
    case KvType::int8: return attend<int8_t>(args);
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
