// What the attention kernels of this folder share: the tile and its span, and how scores become weights. All of it is
// local to the unit that includes it, as in vector.h.
#pragma once

#include "kernels/avx2/vector.h"

namespace honed::avx2 {

void attend_int8(const AttentionArgs& args);  // attention of an int8 cache

namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kAhead = 2;  // pages between a prefetch and the use

// Calls body.operator()<Count>() for a count from 1 to `Most`.
template <int Most, typename Body>
inline void with_count(int64_t count, const Body& body) {
  if constexpr (Most > 1) {
    if (count < Most) return with_count<Most - 1>(count, body);
  }
  body.template operator()<Most>();
}

// Calls body.operator()<Count>(first) over [0, end) in as few blocks of up to `Most` as there can be, of one size or
// two that differ by one: a last block of one row would cost nearly what a full one does.
template <int Most, typename Body>
inline void for_even_blocks(int64_t end, const Body& body) {
  const int64_t blocks = (end + Most - 1) / Most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * end / blocks;
    with_count<Most>((i + 1) * end / blocks - first, [&]<int Rows>() { body.template operator()<Rows>(first); });
  }
}

// A tile and its span: "rows" here are all pairs of a token and a query head, token by token.
struct Tile {
  const AttentionArgs& args;
  int64_t rows;
  int64_t span_first;  // key
  int64_t page_begin;  // those in which any row sees a key
  int64_t page_end;
  float* q;       // head_dim up to a multiple of 16 floats a row, in scratch
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

  template <typename Cell>
  const Cell* page(const std::byte* base, int64_t page) const {
    const std::byte* head = base + args.pages[page] * args.cache.page_bytes + args.kv_head * args.cache.head_bytes;
    return reinterpret_cast<const Cell*>(head);
  }
  template <typename Cell>
  const Cell* keys(int64_t index) const {
    return page<Cell>(args.cache.keys, index);
  }
  template <typename Cell>
  const Cell* values(int64_t index) const {
    return page<Cell>(args.cache.values, index);
  }
  // What is read kAhead pages after the keys or the values of this page; the last values are followed by themselves.
  template <typename Cell>
  const Cell* after_keys(int64_t index) const {
    const int64_t ahead = index + kAhead;
    return ahead < page_end ? keys<Cell>(ahead) : after_values<Cell>(page_begin + ahead - page_end - kAhead);
  }
  template <typename Cell>
  const Cell* after_values(int64_t index) const {
    return values<Cell>(index + kAhead < page_end ? index + kAhead : page_end - 1);
  }

  const float* query(int64_t row) const {
    const int64_t head = args.kv_head * args.group + row % args.group;
    return args.q + (args.row_begin + row / args.group) * args.q_stride + head * args.head_dim;
  }
  float* scores_of(int64_t row) const { return scores + row * kScoreStride; }
  float* partial(int64_t row) const { return args.partials + row * (kPartialValues + args.head_dim); }
};

// Asks for the cells of a page some time before they are needed: pages lie apart, so no hardware foresees the next.
// Into the second cache, which can wait for more lines at a time than the first.
template <typename Cell>
inline void prefetch(const Cell* cells, int64_t from, int64_t count) {
  const char* line = reinterpret_cast<const char*>(cells + from);
  for (int64_t byte = 0; byte < count * static_cast<int64_t>(sizeof(Cell)); byte += kLine) {
    _mm_prefetch(line + byte, _MM_HINT_T1);
  }
}

// `value` where keys `key` to `key + 7` lie in [first, end), `outside` elsewhere. Most vectors are inside entirely.
inline __m256 keep_visible(int64_t key, int64_t first, int64_t end, __m256 value, __m256 outside) {
  if (key >= first && key + kVector <= end) return value;
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i keys = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int32_t>(key)), lanes);
  const __m256i from_first = _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(static_cast<int32_t>(first - 1)));
  const __m256i before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(end)), keys);
  return _mm256_blendv_ps(outside, value, _mm256_castsi256_ps(_mm256_and_si256(from_first, before_end)));
}

// Scores of one row become weights; its largest score and the sum of exp(score - largest) go to the partial. Weights
// of keys out of sight are whatever they come to.
inline void weights_of(const Tile& tile, int64_t row) {
  float* scores = tile.scores_of(row);
  const int64_t first = tile.first(row) - tile.span_first;
  const int64_t end = tile.last(row) + 1 - tile.span_first;
  const int64_t begin = first / kLanes * kLanes;
  const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
  __m256 largest = lowest;
  for (int64_t key = begin; key < end; key += kVector) {
    largest = _mm256_max_ps(keep_visible(key, first, end, _mm256_loadu_ps(scores + key), lowest), largest);
  }
  const float peak = largest_lane(largest) + 0.0f;  // of two zeros either could be the largest
  const __m256 shift = _mm256_set1_ps(peak);
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t key = begin; key < end; key += kLanes) {
    for (int v = 0; v < 2; ++v) {
      const int64_t at = key + v * kVector;
      const __m256 p = exp(_mm256_sub_ps(_mm256_loadu_ps(scores + at), shift));
      sums[v] = _mm256_add_ps(sums[v], keep_visible(at, first, end, p, _mm256_setzero_ps()));
      _mm256_storeu_ps(scores + at, p);
    }
  }
  tile.partial(row)[0] = peak;
  tile.partial(row)[1] = fold_lanes(sums[0], sums[1]);
}

}  // namespace
}  // namespace honed::avx2
