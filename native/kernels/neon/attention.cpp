// Causal attention of single tokens over the paged KV cache, up to two query heads of one kv head at a time, so that
// a key or value once loaded serves both.
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

constexpr int kMostHeads = 2;
constexpr int kMostVectors = 8;  // of one stretch of head_dim
constexpr int kPageVectors = kPageTokens / kVector;

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
  int64_t scores() const { return (last_page - first_page + 1) * kPageTokens; }

  // Overwrites the scores of keys of the outer pages that the token does not see.
  void hide(float* scores_of_pages, float value) const {
    const int64_t base = first_page * kPageTokens;
    for (int64_t i = 0; i < first - base; ++i) scores_of_pages[i] = value;
    for (int64_t i = last + 1 - base; i < scores(); ++i) scores_of_pages[i] = value;
  }
};

Span span_of(const AttentionArgs& args, int64_t row, int64_t kv_head) {
  const int64_t position = args.positions[row];
  const int64_t first = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  const int32_t* pages = args.page_tables + args.sequences[row] * args.pages_per_table;
  return {first, position, first / kPageTokens, position / kPageTokens, pages, args.head_dim * kPageTokens,
          args.kv_heads, kv_head};
}

// Scaled scores of all keys of the pages into scratch.
template <int Heads>
static inline void score(const AttentionArgs& args, const Span& span, const float* q) {
  for (int64_t page = span.first_page; page <= span.last_page; ++page) {
    const float* keys = args.cache.keys + span.page_start(page);
    float32x4_t dots[Heads][kPageVectors];
    for (auto& head : dots) {
      for (float32x4_t& dot : head) dot = vdupq_n_f32(0.0f);
    }
    for (int64_t d = 0; d < args.head_dim; ++d) {
      for (int v = 0; v < kPageVectors; ++v) {
        const float32x4_t key = vld1q_f32(keys + d * kPageTokens + v * kVector);
        for (int h = 0; h < Heads; ++h) {
          dots[h][v] = vfmaq_f32(dots[h][v], vdupq_n_f32(q[h * args.head_dim + d]), key);
        }
      }
    }
    for (int h = 0; h < Heads; ++h) {
      float* scores = args.scratch + h * args.scratch_stride + (page - span.first_page) * kPageTokens;
      for (int v = 0; v < kPageVectors; ++v) vst1q_f32(scores + v * kVector, vmulq_n_f32(dots[h][v], args.scale));
    }
  }
}

// Scores become exp(score - largest), zero out of sight; returns their sum.
float exponentiate(const Span& span, float* scores) {
  span.hide(scores, -__builtin_inff());
  float32x4_t largest = vdupq_n_f32(-__builtin_inff());
  for (int64_t i = 0; i < span.scores(); i += kVector) largest = vmaxq_f32(largest, vld1q_f32(scores + i));
  const float32x4_t shift = vdupq_n_f32(vmaxvq_f32(largest));
  for (int64_t i = 0; i < span.scores(); i += kVector) {
    vst1q_f32(scores + i, exp(vsubq_f32(vld1q_f32(scores + i), shift)));
  }
  span.hide(scores, 0.0f);
  float32x4_t lanes[kLaneVectors];
  for (float32x4_t& lane : lanes) lane = vdupq_n_f32(0.0f);
  for (int64_t i = 0; i < span.scores(); i += kLanes) {
    for (int v = 0; v < kLaneVectors; ++v) lanes[v] = vaddq_f32(lanes[v], vld1q_f32(scores + i + v * kVector));
  }
  return fold_lanes(lanes);
}

// One stretch of `Vectors` registers of head_dim from d on, of which the last may be partial.
template <int Heads, int Vectors>
static inline void weigh_values(const AttentionArgs& args, const Span& span, int64_t d, const float* sums, float* y) {
  const int64_t last_count = args.head_dim - d - (Vectors - 1) * kVector;
  float32x4_t total[Heads][Vectors];
  for (auto& head : total) {
    for (float32x4_t& value : head) value = vdupq_n_f32(0.0f);
  }
  for (int64_t key = span.first; key <= span.last; ++key) {
    const int64_t start = span.page_start(key / kPageTokens) + key % kPageTokens * args.head_dim + d;
    const float* values = args.cache.values + start;
    const float* p = args.scratch + key - span.first_page * kPageTokens;
    for (int v = 0; v < Vectors; ++v) {
      const float32x4_t value =
          v + 1 < Vectors ? vld1q_f32(values + v * kVector) : load_first(values + v * kVector, last_count);
      for (int h = 0; h < Heads; ++h) {
        total[h][v] = vfmaq_f32(total[h][v], vdupq_n_f32(p[h * args.scratch_stride]), value);
      }
    }
  }
  for (int h = 0; h < Heads; ++h) {
    for (int v = 0; v < Vectors; ++v) {
      const int64_t count = v + 1 < Vectors ? kVector : last_count;
      store_first(y + h * args.head_dim + d + v * kVector, count, vdivq_f32(total[h][v], vdupq_n_f32(sums[h])));
    }
  }
}

template <int Heads>
void attend(const AttentionArgs& args, const Span& span, const float* q, float* y) {
  score<Heads>(args, span, q);
  float sums[Heads];
  for (int h = 0; h < Heads; ++h) sums[h] = exponentiate(span, args.scratch + h * args.scratch_stride);
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

}  // namespace honed::neon
