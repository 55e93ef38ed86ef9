// Attention over one span of the paged KV cache, row by row and head by head, and the fold over spans.
#include "kernels/paging/head.h"
#include "kernels/portable/cells.h"
#include "kernels/portable/slots.h"
#include "kernels/shared/flush.h"

namespace honed::portable {
namespace {

// The keys [first, last] of the span that one row sees.
struct Sight {
  int64_t first;
  int64_t last;
};

Sight sight_of(const AttentionArgs& args, int64_t row) {
  const int64_t position = args.first_position + row - args.row_begin;
  const int64_t span_first = args.span * kSpanTokens;
  const int64_t span_end = span_first + kSpanTokens;
  const int64_t end = span_end < args.keys ? span_end : args.keys;
  const int64_t first = position - args.before;
  const int64_t last = position + args.after;
  return {first > span_first ? first : span_first, last < end ? last : end - 1};
}

// Keys or values (`base`) of the page in which a key lies.
template <typename Cell>
const Cell* page_of(const AttentionArgs& args, const std::byte* base, int64_t key) {
  const int64_t page = args.pages[key / kPageTokens];
  return reinterpret_cast<const Cell*>(base + page * args.cache.page_bytes + args.kv_head * args.cache.head_bytes);
}

// Writes the scaled scores of the keys in sight to scores[0..].
template <typename Cell>
void score(const AttentionArgs& args, const Sight& sight, const float* q, float* scores) {
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const Cell* keys = page_of<Cell>(args, args.cache.keys, key);
    const int64_t slot = key % kPageTokens;
    float dot = 0.0f;
    for (int64_t d = 0; d < args.head_dim; ++d) dot = fma(q[d], widen(keys[key_cell<Cell>(slot, d)]), dot);
    scores[key - sight.first] = dot * args.scale;
  }
}

float rounded_bf16(float x) { return bf16_to_f32(bf16_from_f32(x)); }

// In pairs of features, the odd one first.
template <>
void score<uint16_t>(const AttentionArgs& args, const Sight& sight, const float* q, float* scores) {
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const uint16_t* keys = page_of<uint16_t>(args, args.cache.keys, key);
    const int64_t slot = key % kPageTokens;
    float dot = 0.0f;
    for (int64_t d = 0; d < args.head_dim; d += 2) {
      const float odd = d + 1 < args.head_dim ? rounded_bf16(q[d + 1]) : 0.0f;
      dot = fma(odd, widen(keys[key_cell<uint16_t>(slot, d + 1)]), dot);
      dot = fma(rounded_bf16(q[d]), widen(keys[key_cell<uint16_t>(slot, d)]), dot);
    }
    scores[key - sight.first] = dot * args.scale;
  }
}

template <>
void score<int8_t>(const AttentionArgs& args, const Sight& sight, const float* q, float* scores) {
  int16_t codes[kMostInt8HeadDim];
  const float step = codes_within<kQueryCodes>(q, args.head_dim, codes);
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const int8_t* keys = page_of<int8_t>(args, args.cache.keys, key);
    const int64_t slot = key % kPageTokens;
    const float* key_scales = paging::scales_of(keys, args.head_dim) + slot;
    float dot = 0.0f;
    for (int64_t group = 0; group < key_groups(args.head_dim); ++group) {
      int32_t sum = 0;
      for (int64_t d = group * kKeyGroup; d < (group + 1) * kKeyGroup && d < args.head_dim; ++d) {
        sum += codes[d] * keys[key_cell<int8_t>(slot, d)];
      }
      dot = fma(static_cast<float>(sum), key_scales[group * kPageTokens], dot);
    }
    scores[key - sight.first] = dot * (step * args.scale);
  }
}

// What is added to the score of a key, by its distance from the row of a query head.
float bias_of(const AttentionArgs& args, int64_t head, int64_t distance) {
  const int64_t clamped = distance < -args.reach ? -args.reach : distance > args.reach ? args.reach : distance;
  return args.bias[(args.kv_head * args.group + head) * (2 * args.reach + 1) + args.reach + clamped];
}

// Caps the scores of the keys in sight and adds the biases of their distances, where that is asked for.
void adjust(const AttentionArgs& args, const Sight& sight, int64_t position, int64_t head, float* scores) {
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float& score = scores[key - sight.first];
    if (args.soft_cap > 0.0f) score = args.soft_cap * rational<TanhTerms>(score / args.soft_cap);
    if (args.bias != nullptr) score = score + bias_of(args, head, key - position);
  }
}

// The largest, a zero without its sign.
float largest_of(const Sight& sight, const float* scores) {
  float largest = -__builtin_inff();
  for (int64_t i = 0; i <= sight.last - sight.first; ++i) largest = scores[i] > largest ? scores[i] : largest;
  return largest + 0.0f;
}

// Scores become exp(score - largest), rounded where values are; returns their sum.
template <typename Cell>
float exponentiate(const Sight& sight, float largest, float* scores) {
  float lanes[kLanes] = {};
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float p = exp(scores[key - sight.first] - largest);
    if constexpr (sizeof(Cell) == 2) p = rounded_bf16(p);
    scores[key - sight.first] = p;
    lanes[key % kLanes] = lanes[key % kLanes] + p;
  }
  return fold_lanes(lanes);
}

template <typename Cell>
void weigh_values(const AttentionArgs& args, const Sight& sight, const float* p, float* o) {
  for (int64_t d = 0; d < args.head_dim; ++d) o[d] = 0.0f;
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    const Cell* values = page_of<Cell>(args, args.cache.values, key);
    const int64_t slot = key % kPageTokens;
    for (int64_t d = 0; d < args.head_dim; ++d) {
      o[d] = fma(p[key - sight.first], widen(values[value_cell<Cell>(slot, d, args.head_dim)]), o[d]);
    }
  }
}

// In pairs of keys, the odd one first; one out of sight counts as zero.
template <>
void weigh_values<uint16_t>(const AttentionArgs& args, const Sight& sight, const float* p, float* o) {
  for (int64_t d = 0; d < args.head_dim; ++d) o[d] = 0.0f;
  for (int64_t even = sight.first / 2 * 2; even <= sight.last; even += 2) {
    const uint16_t* values = page_of<uint16_t>(args, args.cache.values, even);
    for (int64_t key = even + 1; key >= even; --key) {
      const bool seen = key >= sight.first && key <= sight.last;
      const float weight = seen ? p[key - sight.first] : 0.0f;
      for (int64_t d = 0; d < args.head_dim; ++d) {
        const uint16_t cell = values[value_cell<uint16_t>(key % kPageTokens, d, args.head_dim)];
        o[d] = fma(weight, seen ? widen(cell) : 0.0f, o[d]);
      }
    }
  }
}

template <>
void weigh_values<int8_t>(const AttentionArgs& args, const Sight& sight, const float* p, float* o) {
  for (int64_t d = 0; d < args.head_dim; ++d) o[d] = 0.0f;
  for (int64_t first = sight.first; first <= sight.last; first = (first / kPageTokens + 1) * kPageTokens) {
    const int64_t page_last = first / kPageTokens * kPageTokens + kPageTokens - 1;
    const int64_t last = page_last < sight.last ? page_last : sight.last;
    const int8_t* values = page_of<int8_t>(args, args.cache.values, first);
    const float* scales = paging::scales_of(values, args.head_dim);
    float weights[kPageTokens];
    int16_t codes[kPageTokens];
    for (int64_t key = first; key <= last; ++key) weights[key - first] = p[key - sight.first] * scales[key % kPageTokens];
    const float step = codes_within<kWeightCodes>(weights, last - first + 1, codes);
    for (int64_t d = 0; d < args.head_dim; ++d) {
      int32_t sum = 0;
      for (int64_t key = first; key <= last; ++key) {
        sum += codes[key - first] * values[value_cell<int8_t>(key % kPageTokens, d, args.head_dim)];
      }
      o[d] = fma(static_cast<float>(sum), step, o[d]);
    }
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

// The same of a partial that is a sink.
void fold_sink(float* state, float sink, int64_t head_dim) {
  const float largest = state[0] > sink ? state[0] : sink;
  const float a = exp(state[0] - largest);
  const float b = exp(sink - largest);
  state[0] = largest;
  state[1] = fma(state[1], a, b);
  for (int64_t d = kPartialValues; d < kPartialValues + head_dim; ++d) state[d] = fma(state[d], a, 0.0f);
}

[[gnu::noinline]] void attend(const AttentionArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  float* partial = args.partials;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const Sight sight = sight_of(args, row);
    const float* q = args.q + row * args.q_stride + args.kv_head * args.group * args.head_dim;
    for (int64_t head = 0; head < args.group; ++head, partial += partial_floats) {
      with_cell(args.cache.type, [&]<typename Cell>(Cell*) {
        score<Cell>(args, sight, q + head * args.head_dim, args.scratch);
        adjust(args, sight, args.first_position + row - args.row_begin, head, args.scratch);
        partial[0] = largest_of(sight, args.scratch);
        partial[1] = exponentiate<Cell>(sight, partial[0], args.scratch);
        weigh_values<Cell>(args, sight, args.scratch, partial + kPartialValues);
      });
    }
  }
}

}  // namespace

void attention(const AttentionArgs& args) {
  if (args.cache.type != KvType::bf16) return attend(args);
  const shared::FlushedDenormals flushed;
  attend(args);
}

void attention_merge(const AttentionMergeArgs& args) {
  const int64_t partial_floats = kPartialValues + args.head_dim;
  for (int64_t i = 0; i < args.rows * args.group; ++i) {
    float* state = args.partials + i * partial_floats;
    for (int64_t span = 1; span < args.count; ++span) fold(state, state + span * args.span_stride, args.head_dim);
    if (args.sinks != nullptr) fold_sink(state, args.sinks[i % args.group], args.head_dim);
    float* y = args.y + i / args.group * args.y_stride + i % args.group * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; ++d) y[d] = state[kPartialValues + d] / state[1];
  }
}

}  // namespace honed::portable
