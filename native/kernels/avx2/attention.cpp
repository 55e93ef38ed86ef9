// Causal attention of single tokens over the paged KV cache. The query heads that share a kv head go together, so
// that a page is read once: keys in lanes for the scores, features in lanes for the values.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

constexpr int kPageVectors = kPageTokens / kVector;
constexpr int kHeads = 3;  // query heads at a time: 3 * 4 sums in 16 registers

// The keys [first, last] that one token sees, in pages [page_begin, page_end) of its sequence.
struct Span {
  int64_t first;
  int64_t last;
  int64_t page_begin;
  int64_t page_end;
  const int32_t* pages;
  int64_t head_floats;  // floats of one kv head in one page
  int64_t kv_heads;
  int64_t kv_head;

  int64_t start_of(int64_t page) const { return (pages[page] * kv_heads + kv_head) * head_floats; }
  // Where the scores of a page lie in scratch.
  int64_t score_of(int64_t page) const { return (page - page_begin) * kPageTokens; }
};

Span span_of(const AttentionArgs& args, int64_t row, int64_t kv_head) {
  Span span;
  span.last = args.positions[row];
  span.first = args.window > 0 && span.last >= args.window ? span.last - args.window + 1 : 0;
  span.page_begin = span.first / kPageTokens;
  span.page_end = span.last / kPageTokens + 1;
  span.pages = args.page_tables + args.sequences[row] * args.pages_per_table;
  span.head_floats = args.head_dim * kPageTokens;
  span.kv_heads = args.kv_heads;
  span.kv_head = kv_head;
  return span;
}

// `value` where keys `key` to `key + 7` are inside the span, `outside` elsewhere. Most vectors are inside entirely.
inline __m256 keep_inside(const Span& span, int64_t key, __m256 value, __m256 outside) {
  if (key >= span.first && key + kVector <= span.last + 1) return value;
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i keys = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int32_t>(key)), lanes);
  const __m256i after_first = _mm256_cmpgt_epi32(keys, _mm256_set1_epi32(static_cast<int32_t>(span.first - 1)));
  const __m256i before_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(span.last + 1)), keys);
  return _mm256_blendv_ps(outside, value, _mm256_castsi256_ps(_mm256_and_si256(after_first, before_end)));
}

// Scaled scores of one page for `Heads` query heads.
template <int Heads>
inline void score_page(const AttentionArgs& args, const float* q, const float* keys, float* scores) {
  __m256 sums[Heads][kPageVectors];
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < kPageVectors; ++v) sums[h][v] = _mm256_setzero_ps();
  }
  for (int64_t d = 0; d < args.head_dim; ++d) {
    __m256 value[Heads];
    for (int h = 0; h < Heads; ++h) value[h] = _mm256_broadcast_ss(q + h * args.head_dim + d);
    for (int v = 0; v < kPageVectors; ++v) {
      const __m256 key = _mm256_loadu_ps(keys + d * kPageTokens + v * kVector);
      for (int h = 0; h < Heads; ++h) sums[h][v] = _mm256_fmadd_ps(value[h], key, sums[h][v]);
    }
  }
  const __m256 scale = _mm256_set1_ps(args.scale);
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < kPageVectors; ++v) {
      _mm256_storeu_ps(scores + h * args.scratch_stride + v * kVector, _mm256_mul_ps(sums[h][v], scale));
    }
  }
}

void score(const AttentionArgs& args, const Span& span, const float* q, int64_t heads) {
  for (int64_t page = span.page_begin; page < span.page_end; ++page) {
    const float* keys = args.cache.keys + span.start_of(page);
    float* scores = args.scratch + span.score_of(page);
    int64_t h = 0;
    for (; h + kHeads <= heads; h += kHeads) {
      score_page<kHeads>(args, q + h * args.head_dim, keys, scores + h * args.scratch_stride);
    }
    for (; h < heads; ++h) score_page<1>(args, q + h * args.head_dim, keys, scores + h * args.scratch_stride);
  }
}

// Scores become exp(score - largest), and 0 outside of the span; returns their sum.
float exponentiate(const Span& span, float* scores) {
  const int64_t begin = span.page_begin * kPageTokens;
  const int64_t end = span.page_end * kPageTokens;
  const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
  __m256 largest = lowest;
  for (int64_t key = begin; key < end; key += kVector) {
    const __m256 value = _mm256_loadu_ps(scores + key - begin);
    largest = _mm256_max_ps(keep_inside(span, key, value, lowest), largest);
  }
  largest = _mm256_set1_ps(largest_lane(largest));
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t key = begin; key < end; key += 2 * kVector) {
    for (int v = 0; v < 2; ++v) {
      float* place = scores + key - begin + v * kVector;
      const __m256 p = exp(_mm256_sub_ps(_mm256_loadu_ps(place), largest));
      const __m256 kept = keep_inside(span, key + v * kVector, p, _mm256_setzero_ps());
      _mm256_storeu_ps(place, kept);
      sums[v] = _mm256_add_ps(sums[v], kept);
    }
  }
  return fold_lanes(sums[0], sums[1]);
}

// Adds keys [begin, end) of one page, weighed, to `Vectors` vectors of features of `Heads` heads of y.
template <int Heads, int Vectors>
inline void weigh_vectors(const AttentionArgs& args, const float* values, const float* p, int64_t begin, int64_t end,
                          float* y) {
  __m256 sums[Heads][Vectors];
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < Vectors; ++v) sums[h][v] = _mm256_loadu_ps(y + h * args.head_dim + v * kVector);
  }
  for (int64_t j = begin; j < end; ++j) {
    __m256 weight[Heads];
    for (int h = 0; h < Heads; ++h) weight[h] = _mm256_broadcast_ss(p + h * args.scratch_stride + j);
    for (int v = 0; v < Vectors; ++v) {
      const __m256 value = _mm256_loadu_ps(values + j * args.head_dim + v * kVector);
      for (int h = 0; h < Heads; ++h) sums[h][v] = _mm256_fmadd_ps(weight[h], value, sums[h][v]);
    }
  }
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < Vectors; ++v) _mm256_storeu_ps(y + h * args.head_dim + v * kVector, sums[h][v]);
  }
}

template <int Heads>
inline void weigh_page(const AttentionArgs& args, const float* values, const float* p, int64_t begin, int64_t end,
                       float* y) {
  int64_t d = 0;
  for (; d + 4 * kVector <= args.head_dim; d += 4 * kVector) {
    weigh_vectors<Heads, 4>(args, values + d, p, begin, end, y + d);
  }
  for (; d + kVector <= args.head_dim; d += kVector) {
    weigh_vectors<Heads, 1>(args, values + d, p, begin, end, y + d);
  }
  for (; d < args.head_dim; ++d) {
    for (int h = 0; h < Heads; ++h) {
      float* sum = y + h * args.head_dim + d;
      for (int64_t j = begin; j < end; ++j) {
        *sum = fma(p[h * args.scratch_stride + j], values[j * args.head_dim + d], *sum);
      }
    }
  }
}

void weigh(const AttentionArgs& args, const Span& span, int64_t heads, float* y) {
  for (int64_t i = 0; i < heads * args.head_dim; ++i) y[i] = 0.0f;
  for (int64_t page = span.page_begin; page < span.page_end; ++page) {
    const float* values = args.cache.values + span.start_of(page);
    const float* p = args.scratch + span.score_of(page);
    const int64_t first_key = page * kPageTokens;
    const int64_t begin = span.first > first_key ? span.first - first_key : 0;
    const int64_t left = span.last + 1 - first_key;
    const int64_t end = left < kPageTokens ? left : kPageTokens;
    int64_t h = 0;
    for (; h + kHeads <= heads; h += kHeads) {
      weigh_page<kHeads>(args, values, p + h * args.scratch_stride, begin, end, y + h * args.head_dim);
    }
    for (; h < heads; ++h) {
      weigh_page<1>(args, values, p + h * args.scratch_stride, begin, end, y + h * args.head_dim);
    }
  }
}

void divide(float* y, int64_t width, float sum) {
  int64_t d = 0;
  for (; d + kVector <= width; d += kVector) {
    _mm256_storeu_ps(y + d, _mm256_div_ps(_mm256_loadu_ps(y + d), _mm256_set1_ps(sum)));
  }
  for (; d < width; ++d) y[d] = y[d] / sum;
}

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t group = args.heads / args.kv_heads;
  for (int64_t item = args.item_begin; item < args.item_end; ++item) {
    const int64_t row = item / args.kv_heads;
    const int64_t kv_head = item % args.kv_heads;
    const Span span = span_of(args, row, kv_head);
    const int64_t first_feature = kv_head * group * args.head_dim;
    float* y = args.y + row * args.y_stride + first_feature;
    score(args, span, args.q + row * args.q_stride + first_feature, group);
    // Each head's sum waits behind its scores until the values are weighed.
    float* sums = args.scratch + span.score_of(span.page_end);
    for (int64_t h = 0; h < group; ++h) {
      sums[h * args.scratch_stride] = exponentiate(span, args.scratch + h * args.scratch_stride);
    }
    weigh(args, span, group, y);
    for (int64_t h = 0; h < group; ++h) divide(y + h * args.head_dim, args.head_dim, sums[h * args.scratch_stride]);
  }
}

}  // namespace honed::avx2
