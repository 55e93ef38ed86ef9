// Causal attention over one span of the paged KV cache, row by row and head by head, and the fold over spans.
#include "kernels/portable/cells.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

// The keys [first, last] of the span that one row sees.
struct Sight {
  int64_t first;
  int64_t last;
};

Sight sight_of(const AttentionArgs& args, int64_t row) {
  const int64_t position = args.first_position + row - args.row_begin;
  const int64_t begin = args.span * kSpanTokens;
  const int64_t end = begin + kSpanTokens - 1;
  const int64_t first = args.window > 0 ? position - args.window + 1 : 0;
  return {first > begin ? first : begin, position < end ? position : end};
}

// Cells and scales of the keys or values (`base`) of one page.
template <typename Cell>
struct Page {
  const Cell* cells;
  const float* scales;  // int8 only

  Page(const AttentionArgs& args, const std::byte* base, int64_t key) {
    const int64_t page = args.pages[key / kPageTokens];
    const std::byte* head = base + page * args.cache.page_bytes + args.kv_head * args.cache.head_bytes;
    cells = reinterpret_cast<const Cell*>(head);
    scales = reinterpret_cast<const float*>(cells + args.head_dim * kPageTokens);
  }
};

// Writes the scaled scores of the keys in sight to scores[0..] and returns the largest, a zero without its sign.
template <typename Cell>
float score(const AttentionArgs& args, const Sight& sight, const float* q, float* scores) {
  float largest = -__builtin_inff();
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const Page<Cell> keys(args, args.cache.keys, key);
    const int64_t slot = key % kPageTokens;
    float dot = 0.0f;
    for (int64_t d = 0; d < args.head_dim; ++d) dot = fma(q[d], widen(keys.cells[d * kPageTokens + slot]), dot);
    if constexpr (sizeof(Cell) == 1) dot = dot * keys.scales[slot];
    dot = dot * args.scale;
    scores[key - sight.first] = dot;
    largest = dot > largest ? dot : largest;
  }
  return largest + 0.0f;
}

// Scores become exp(score - largest); returns their sum.
float exponentiate(const Sight& sight, float largest, float* scores) {
  float lanes[kLanes] = {};
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const float p = exp(scores[key - sight.first] - largest);
    scores[key - sight.first] = p;
    lanes[key % kLanes] = lanes[key % kLanes] + p;
  }
  return fold_lanes(lanes);
}

template <typename Cell>
void weigh_values(const AttentionArgs& args, const Sight& sight, const float* p, float* o) {
  for (int64_t d = 0; d < args.head_dim; ++d) o[d] = 0.0f;
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const Page<Cell> values(args, args.cache.values, key);
    const int64_t slot = key % kPageTokens;
    float weight = p[key - sight.first];
    if constexpr (sizeof(Cell) == 1) weight = weight * values.scales[slot];
    const Cell* value = values.cells + slot * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; ++d) o[d] = fma(weight, widen(value[d]), o[d]);
  }
}

// Folds partial `next` into `state`.
void fold(float* state, const float* next, int64_t head_dim) {
  const float largest = state[0] > next[0] ? state[0] : next[0];
  const float a = exp(state[0] - largest);
  const float b = exp(next[0] - largest);
  state[0] = largest;
  state[1] = fma(state[1], a, next[1] * b);
  for (int64_t d = kPartialValues; d < kPartialValues + head_dim; ++d) state[d] = fma(state[d], a, next[d] * b);
}

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  float* partial = args.partials;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const Sight sight = sight_of(args, row);
    const float* q = args.q + row * args.q_stride + args.kv_head * args.group * args.head_dim;
    for (int64_t head = 0; head < args.group; ++head, partial += partial_floats) {
      with_cell(args.cache.type, [&]<typename Cell>(Cell*) {
        partial[0] = score<Cell>(args, sight, q + head * args.head_dim, args.scratch);
        partial[1] = exponentiate(sight, partial[0], args.scratch);
        weigh_values<Cell>(args, sight, args.scratch, partial + kPartialValues);
      });
    }
  }
}

void attention_merge(const AttentionMergeArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  for (int64_t i = 0; i < args.rows * args.group; ++i) {
    float* state = args.partials + i * partial_floats;
    for (int64_t span = 1; span < args.count; ++span) fold(state, state + span * args.span_stride, args.head_dim);
    float* y = args.y + i / args.group * args.y_stride + i % args.group * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; ++d) y[d] = state[kPartialValues + d] / state[1];
  }
}

}  // namespace honed::portable
