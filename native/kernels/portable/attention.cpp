// Causal attention of single tokens over the paged KV cache, one query head after the other.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

// The keys [first, last] that one token sees, and where their pages are.
struct Span {
  int64_t first;
  int64_t last;
  const int32_t* pages;
  int64_t head_floats;  // floats of one kv head in one page
  int64_t kv_heads;
  int64_t kv_head;

  int64_t page_start(int64_t key) const {
    return (pages[key / kPageTokens] * kv_heads + kv_head) * head_floats;
  }
};

Span span_of(const AttentionArgs& args, int64_t row, int64_t kv_head) {
  const int64_t position = args.positions[row];
  const int64_t first = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  const int32_t* pages = args.page_tables + args.sequences[row] * args.pages_per_table;
  return {first, position, pages, args.head_dim * kPageTokens, args.kv_heads, kv_head};
}

// Writes the scaled scores of the span to scores[0..] and returns the largest.
float score(const AttentionArgs& args, const Span& span, const float* q, float* scores) {
  float largest = -__builtin_inff();
  for (int64_t key = span.first; key <= span.last; ++key) {
    const float* keys = args.cache.keys + span.page_start(key) + key % kPageTokens;
    float dot = 0.0f;
    for (int64_t d = 0; d < args.head_dim; ++d) dot = fma(q[d], keys[d * kPageTokens], dot);
    dot = dot * args.scale;
    scores[key - span.first] = dot;
    largest = dot > largest ? dot : largest;
  }
  return largest;
}

// Scores become exp(score - largest); returns their sum.
float exponentiate(const Span& span, float largest, float* scores) {
  float lanes[kLanes] = {};
  for (int64_t key = span.first; key <= span.last; ++key) {
    const float p = exp(scores[key - span.first] - largest);
    scores[key - span.first] = p;
    lanes[key % kLanes] = lanes[key % kLanes] + p;
  }
  return fold_lanes(lanes);
}

void weigh_values(const AttentionArgs& args, const Span& span, const float* p, float sum, float* y) {
  for (int64_t d = 0; d < args.head_dim; ++d) y[d] = 0.0f;
  for (int64_t key = span.first; key <= span.last; ++key) {
    const float* values = args.cache.values + span.page_start(key) + (key % kPageTokens) * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; ++d) y[d] = fma(p[key - span.first], values[d], y[d]);
  }
  for (int64_t d = 0; d < args.head_dim; ++d) y[d] = y[d] / sum;
}

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t group = args.heads / args.kv_heads;
  for (int64_t item = args.item_begin; item < args.item_end; ++item) {
    const int64_t row = item / args.kv_heads;
    const int64_t kv_head = item % args.kv_heads;
    const Span span = span_of(args, row, kv_head);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      const float* q = args.q + row * args.q_stride + head * args.head_dim;
      const float largest = score(args, span, q, args.scratch);
      const float sum = exponentiate(span, largest, args.scratch);
      weigh_values(args, span, args.scratch, sum, args.y + row * args.y_stride + head * args.head_dim);
    }
  }
}

}  // namespace honed::portable
