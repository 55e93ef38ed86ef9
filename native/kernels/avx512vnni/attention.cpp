// Causal attention of single tokens over the paged KV cache, up to four query heads of one kv head at a time, so
// that a key or value once loaded serves all of them.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {
namespace {

constexpr int kMostHeads = 4;
constexpr int kMostVectors = 4;  // of one stretch of head_dim

// The keys [first, last] that one token sees, and where their pages are. Scores are kept from the first key of the
// first page on.
struct Span {
  int64_t first;
  int64_t last;
  int64_t first_page;
  int64_t last_page;
  const int32_t* pages;
  int64_t head_floats;  // floats of one kv head in one page
  int64_t kv_heads;
  int64_t kv_head;

  int64_t page_start(int64_t page) const { return (pages[page] * kv_heads + kv_head) * head_floats; }

  // Which of the 16 keys from `key` on the token sees.
  __mmask16 visible(int64_t key) const {
    return static_cast<__mmask16>(first_lanes(last + 1 - key) & ~first_lanes(first - key));
  }
};

Span span_of(const AttentionArgs& args, int64_t row, int64_t kv_head) {
  const int64_t position = args.positions[row];
  const int64_t first = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  const int32_t* pages = args.page_tables + args.sequences[row] * args.pages_per_table;
  return {first, position, first / kPageTokens, position / kPageTokens, pages, args.head_dim * kPageTokens,
          args.kv_heads, kv_head};
}

// Scaled scores of all keys of the pages into scratch, those out of sight among them; largest[h] of the seen ones.
template <int Heads>
static inline void score(const AttentionArgs& args, const Span& span, const float* q, __m512* largest) {
  const __m512 scale = _mm512_set1_ps(args.scale);
  for (int h = 0; h < Heads; ++h) largest[h] = _mm512_set1_ps(-__builtin_inff());
  for (int64_t page = span.first_page; page <= span.last_page; ++page) {
    const float* keys = args.cache.keys + span.page_start(page);
    __m512 low[Heads];
    __m512 high[Heads];
    for (int h = 0; h < Heads; ++h) low[h] = high[h] = _mm512_setzero_ps();
    for (int64_t d = 0; d < args.head_dim; ++d) {
      const __m512 low_keys = _mm512_loadu_ps(keys + d * kPageTokens);
      const __m512 high_keys = _mm512_loadu_ps(keys + d * kPageTokens + kVector);
      for (int h = 0; h < Heads; ++h) {
        const __m512 value = _mm512_set1_ps(q[h * args.head_dim + d]);
        low[h] = _mm512_fmadd_ps(value, low_keys, low[h]);
        high[h] = _mm512_fmadd_ps(value, high_keys, high[h]);
      }
    }
    const __mmask16 low_visible = span.visible(page * kPageTokens);
    const __mmask16 high_visible = span.visible(page * kPageTokens + kVector);
    for (int h = 0; h < Heads; ++h) {
      float* scores = args.scratch + h * args.scratch_stride + (page - span.first_page) * kPageTokens;
      low[h] = _mm512_mul_ps(low[h], scale);
      high[h] = _mm512_mul_ps(high[h], scale);
      largest[h] = _mm512_mask_max_ps(largest[h], low_visible, largest[h], low[h]);
      largest[h] = _mm512_mask_max_ps(largest[h], high_visible, largest[h], high[h]);
      _mm512_storeu_ps(scores, low[h]);
      _mm512_storeu_ps(scores + kVector, high[h]);
    }
  }
}

// Scores become exp(score - largest); returns their sum over the keys in sight.
static inline float exponentiate(const Span& span, float largest, float* scores) {
  const __m512 shift = _mm512_set1_ps(largest);
  __m512 lanes = _mm512_setzero_ps();
  for (int64_t key = span.first_page * kPageTokens; key <= span.last; key += kVector, scores += kVector) {
    const __m512 p = exp(_mm512_sub_ps(_mm512_loadu_ps(scores), shift));
    _mm512_storeu_ps(scores, p);
    lanes = _mm512_mask_add_ps(lanes, span.visible(key), lanes, p);
  }
  return fold_lanes(lanes);
}

// One stretch of `Vectors` registers of head_dim from d on, of which the last may be masked.
template <int Heads, int Vectors>
static inline void weigh_values(const AttentionArgs& args, const Span& span, int64_t d, const float* sums, float* y) {
  const __mmask16 last_lanes = first_lanes(args.head_dim - d - (Vectors - 1) * kVector);
  __m512 total[Heads][Vectors];
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < Vectors; ++v) total[h][v] = _mm512_setzero_ps();
  }
  for (int64_t page = span.first_page; page <= span.last_page; ++page) {
    const int64_t page_key = page * kPageTokens;
    const int64_t begin = span.first > page_key ? span.first - page_key : 0;
    const int64_t end = span.last - page_key < kPageTokens - 1 ? span.last - page_key + 1 : kPageTokens;
    const float* values = args.cache.values + span.page_start(page) + d;
    const float* p = args.scratch + (page - span.first_page) * kPageTokens;
    for (int64_t key = begin; key < end; ++key) {
      const float* row = values + key * args.head_dim;
      __m512 value[Vectors];
      for (int v = 0; v < Vectors; ++v) {
        value[v] = v + 1 < Vectors ? _mm512_loadu_ps(row + v * kVector)
                                   : _mm512_maskz_loadu_ps(last_lanes, row + v * kVector);
      }
      for (int h = 0; h < Heads; ++h) {
        const __m512 weight = _mm512_set1_ps(p[h * args.scratch_stride + key]);
        for (int v = 0; v < Vectors; ++v) total[h][v] = _mm512_fmadd_ps(weight, value[v], total[h][v]);
      }
    }
  }
#pragma GCC unroll 4  // left rolled, these loops alone would keep the totals in memory throughout
  for (int h = 0; h < Heads; ++h) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const __m512 mean = _mm512_div_ps(total[h][v], _mm512_set1_ps(sums[h]));
      const __mmask16 lanes = v + 1 < Vectors ? __mmask16{0xffff} : last_lanes;
      _mm512_mask_storeu_ps(y + h * args.head_dim + d + v * kVector, lanes, mean);
    }
  }
}

template <int Heads>
void attend(const AttentionArgs& args, const Span& span, const float* q, float* y) {
  __m512 largest[Heads];
  score<Heads>(args, span, q, largest);
  float sums[Heads];
  for (int h = 0; h < Heads; ++h) {
    sums[h] = exponentiate(span, _mm512_reduce_max_ps(largest[h]), args.scratch + h * args.scratch_stride);
  }
  const int64_t vectors = (args.head_dim + kVector - 1) / kVector;
  for_blocks<kMostVectors>(0, vectors, [&]<int Vectors>(int64_t vector) {
    weigh_values<Heads, Vectors>(args, span, vector * kVector, sums, y);
  });
}

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t group = args.heads / args.kv_heads;
  for (int64_t item = args.item_begin; item < args.item_end; ++item) {
    const int64_t row = item / args.kv_heads;
    const int64_t kv_head = item % args.kv_heads;
    const Span span = span_of(args, row, kv_head);
    const float* q = args.q + row * args.q_stride;
    float* y = args.y + row * args.y_stride;
    for_blocks<kMostHeads>(kv_head * group, (kv_head + 1) * group, [&]<int Heads>(int64_t head) {
      attend<Heads>(args, span, q + head * args.head_dim, y + head * args.head_dim);
    });
  }
}

}  // namespace honed::avx512vnni
