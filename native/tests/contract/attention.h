// The contract of attention over one span, and of the fold of spans.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tests/contract/paged.h"

namespace honed::contract {

// One query head over keys [first, last] of its sequence, all of one span.
struct Sight {
  const Pages& pages;
  const CellCache& cache;
  int64_t sequence, kv_head, first, last;

  int64_t page(int64_t key) const { return pages.page(sequence, key); }
  bool scaled() const { return cache.type == KvType::int8; }
  bool paired() const { return cache.type == KvType::bf16; }
  bool in_sight(int64_t key) const { return key >= first && key <= last; }
  float key_at(int64_t key, int64_t d) const {
    return cache.cell_at(cache.keys, page(key), kv_head, cache.key_cell(key % 32, d));
  }
  float value_at(int64_t key, int64_t d) const {
    return cache.cell_at(cache.values, page(key), kv_head, cache.value_cell(key % 32, d));
  }
  float key_scale(int64_t key, int64_t d) const {
    return cache.scale_at(cache.keys, page(key), kv_head, key % 32, d / 32);
  }
  float value_scale(int64_t key) const { return cache.scale_at(cache.values, page(key), kv_head, key % 32); }
};

// What scores of one query head become.
struct Scoring {
  float scale, soft_cap;
  const float* bias;  // of the head: of distances from -reach to reach; or null
  int64_t reach, position;

  template <typename Flush>
  float adjusted(float score, int64_t key, const Flush& flush) const {
    if (soft_cap != 0.0f) score = flush(soft_cap * flush(oracle_tanh(flush(score / soft_cap))));
    return bias == nullptr ? score : flush(score + flush(bias[std::clamp(key - position, -reach, reach) + reach]));
  }
};

// As a processor that flushes denormals computes it.
inline float flushed(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }
inline float flushed_fma(float a, float b, float c) {
  return flushed(std::fmaf(flushed(a), flushed(b), flushed(c)));
}
inline float nearest_bf16(float x) { return oracle_bf16(oracle_bf16_bits(x)); }

// The product of q and a key of a cache in bfloat16.
inline float oracle_pairs(const Sight& sight, const float* q, int64_t key) {
  float dot = 0.0f;
  for (int64_t d = 0; d < sight.cache.head_dim; d += 2) {
    const bool pair = d + 1 < sight.cache.head_dim;
    dot = flushed_fma(pair ? nearest_bf16(q[d + 1]) : 0.0f, pair ? sight.key_at(key, d + 1) : 0.0f, dot);
    dot = flushed_fma(nearest_bf16(q[d]), sight.key_at(key, d), dot);
  }
  return dot;
}

// The scores of the keys in sight.
inline std::vector<float> oracle_scores(const Sight& sight, const float* q, const Scoring& scoring) {
  const int64_t head_dim = sight.cache.head_dim;
  std::vector<int32_t> codes(static_cast<std::size_t>(head_dim));
  const float step = oracle_quantize(q, head_dim, head_dim, codes.data(), 16256.0f);
  std::vector<float> scores;
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float dot = 0.0f;
    int64_t sum = 0;
    for (int64_t d = 0; d < head_dim; ++d) {
      if (sight.paired()) break;
      if (!sight.scaled()) {
        dot = std::fmaf(q[d], sight.key_at(key, d), dot);
        continue;
      }
      sum += codes[static_cast<std::size_t>(d)] * static_cast<int64_t>(sight.key_at(key, d));
      if (d % 32 != 31 && d != head_dim - 1) continue;
      dot = std::fmaf(static_cast<float>(sum), sight.key_scale(key, d), dot);
      sum = 0;
    }
    if (sight.paired()) {
      scores.push_back(scoring.adjusted(flushed(oracle_pairs(sight, q, key) * scoring.scale), key, flushed));
      continue;
    }
    const float scale = sight.scaled() ? step * scoring.scale : scoring.scale;
    scores.push_back(scoring.adjusted(dot * scale, key, [](float x) { return x; }));
  }
  return scores;
}

// The values of the keys in sight, feature d, weighted.
inline float oracle_mix(const Sight& sight, const std::vector<float>& weights, int64_t d) {
  const auto weight_of = [&](int64_t key) { return weights[static_cast<std::size_t>(key - sight.first)]; };
  float mixed = 0.0f;
  if (sight.paired()) {
    for (int64_t even = sight.first / 2 * 2; even <= sight.last; even += 2) {
      for (const int64_t key : {even + 1, even}) {
        const bool seen = sight.in_sight(key);
        mixed = flushed_fma(seen ? weight_of(key) : 0.0f, seen ? sight.value_at(key, d) : 0.0f, mixed);
      }
    }
    return mixed;
  }
  if (!sight.scaled()) {
    for (int64_t key = sight.first; key <= sight.last; ++key) {
      mixed = std::fmaf(weight_of(key), sight.value_at(key, d), mixed);
    }
    return mixed;
  }
  for (int64_t page = sight.first / 32; page <= sight.last / 32; ++page) {
    const int64_t first = std::max(sight.first, page * 32);
    const int64_t last = std::min(sight.last, page * 32 + 31);
    std::vector<float> scaled;
    for (int64_t key = first; key <= last; ++key) scaled.push_back(weight_of(key) * sight.value_scale(key));
    int32_t codes[32];
    const float step = oracle_quantize(scaled.data(), last - first + 1, last - first + 1, codes, 16383.0f);
    int64_t sum = 0;
    for (int64_t key = first; key <= last; ++key) sum += codes[key - first] * static_cast<int64_t>(sight.value_at(key, d));
    mixed = std::fmaf(static_cast<float>(sum), step, mixed);
  }
  return mixed;
}

// The partial of one row and head.
inline void oracle_attention(Check& check, const Sight& sight, const float* q, const Scoring& scoring,
                             float* partial) {
  const int64_t head_dim = sight.cache.head_dim;
  std::vector<float> weights = oracle_scores(sight, q, scoring);
  const float largest = *std::max_element(weights.begin(), weights.end()) + 0.0f;
  OracleLanes lanes;
  std::vector<double> exact(static_cast<std::size_t>(head_dim), 0.0);
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float& p = weights[static_cast<std::size_t>(key - sight.first)];
    p = p - largest;
    if (sight.paired()) p = flushed(p);
    const double exact_p = std::exp(static_cast<double>(p));
    const double value_scale = sight.scaled() ? static_cast<double>(sight.value_scale(key)) : 1.0;
    for (int64_t d = 0; d < head_dim; ++d) {
      exact[static_cast<std::size_t>(d)] += exact_p * value_scale * static_cast<double>(sight.value_at(key, d));
    }
    p = oracle_exp(p);
    if (sight.paired()) p = nearest_bf16(p);
    lanes.add(key, p);
  }
  partial[0] = largest;
  partial[1] = lanes.sum();
  for (int64_t d = 0; d < head_dim; ++d) {
    double magnitude = 1e-12;
    for (int64_t key = sight.first; key <= sight.last; ++key) {
      const double value_scale = sight.scaled() ? static_cast<double>(sight.value_scale(key)) : 1.0;
      magnitude = std::max(magnitude, std::fabs(value_scale * static_cast<double>(sight.value_at(key, d))));
      // A code of the weights is off by half a step, and a step is of the largest value scale of its page.
      if (sight.scaled()) magnitude = std::max(magnitude, 127.0 * value_scale);
    }
    partial[kPartialValues + d] = oracle_mix(sight, weights, d);
    const int64_t keys = sight.last - sight.first + 1;
    const int64_t codes = sight.scaled() ? 257 : sight.paired() ? 1 << 14 : 0;  // 2^23 / 32767; 2^-9
    check.close("weighted value", partial[kPartialValues + d], exact[static_cast<std::size_t>(d)],
                magnitude * static_cast<double>(keys), 2 * keys + codes);
  }
}

struct AttentionCase {
  HeadShape shape;
  KvType type;
  int64_t before, after;  // keys that a row sees; kEveryKey: all
  int64_t position;  // of the first row
  float scale;
  float soft_cap;                // 0: none
  std::optional<int64_t> reach;  // of biases; none: there are none
  Values values;
};

inline void test_attention_case(Check& check, const KernelTable& table, const AttentionCase& test, uint64_t seed) {
  const int64_t heads = test.shape.heads, kv_heads = test.shape.kv_heads, head_dim = test.shape.head_dim;
  if (!check.begin("heads %lld kv %lld head_dim %lld, %s cache, %lld before, %lld after, position %lld, "
                   "scale %g, cap %g, reach %lld, %s values",
                   static_cast<long long>(heads), static_cast<long long>(kv_heads), static_cast<long long>(head_dim),
                   name_of(test.type), static_cast<long long>(test.before), static_cast<long long>(test.after),
                   static_cast<long long>(test.position), static_cast<double>(test.scale),
                   static_cast<double>(test.soft_cap), static_cast<long long>(test.reach.value_or(-1)),
                   name_of(test.values))) {
    return;
  }
  Random random(seed);
  const int64_t group = heads / kv_heads;
  const int64_t kv_head = random.between(0, kv_heads - 1);
  int64_t tile = random.between(1, random.chance(2) ? 4 : 40);
  // Behind the last row there are more keys, or none.
  const int64_t keys = test.position + tile + (random.chance(2) ? random.between(0, 300) : 0);
  const auto first_of = [&](int64_t position) { return std::max<int64_t>(0, position - test.before); };
  const auto last_of = [&](int64_t position) { return std::min(keys - 1, position + test.after); };
  // The first row is the lowest of the tile, the last one still sees a key of a span that the first one sees.
  const int64_t span = random.between(first_of(test.position) / kSpanTokens, last_of(test.position) / kSpanTokens);
  while (first_of(test.position + tile - 1) / kSpanTokens > span) --tile;
  const int64_t row_begin = random.between(0, 2);
  const int64_t rows = row_begin + tile;
  Pages pages(random, 2, (test.position + 340) / 32 + 1);
  const int64_t sequence = random.between(0, 1);
  CellCache cache(random, test.type, pages.count(), kv_heads, head_dim);
  std::vector<float> token(static_cast<std::size_t>(head_dim));
  std::vector<bool> seen(static_cast<std::size_t>(pages.per_table), false);
  const int64_t span_begin = span * kSpanTokens, span_last = span_begin + kSpanTokens - 1;
  const int64_t lowest = std::max(span_begin, first_of(test.position));
  const int64_t highest = std::min(span_last, last_of(test.position + tile - 1));
  for (int64_t key = lowest; key <= highest; ++key) {
    seen[static_cast<std::size_t>(key / 32)] = true;
    for (float& x : token) x = random.value(test.values);
    cache.put_key(cache.keys.data(), pages.page(sequence, key), kv_head, key % 32, token.data());
    for (float& x : token) x = random.value(test.values);
    cache.put_value(cache.values.data(), pages.page(sequence, key), kv_head, key % 32, token.data());
  }
  const int64_t q_stride = (heads + 2 * kv_heads) * head_dim + random.between(0, 3);
  Guarded<float> q((rows - 1) * q_stride + heads * head_dim);
  random.fill(q, test.values);
  const int64_t reach = test.reach.value_or(0), distances = 2 * reach + 1;
  Guarded<float> bias(heads * distances);
  random.fill(bias, Values::ordinary);
  const int64_t partial_floats = kPartialValues + head_dim;
  Guarded<float> partials(tile * group * partial_floats);
  fill(partials, canary());
  Guarded<float> scratch(tile * group * (kScoreStride + round_up(head_dim, 16)));
  fill(scratch, canary());

  std::vector<float> want = partials.image();
  for (int64_t row = 0; row < tile; ++row) {
    const int64_t position = test.position + row;
    const Sight sight{pages, cache, sequence, kv_head, std::max(span_begin, first_of(position)),
                      std::min(span_last, last_of(position))};
    for (int64_t h = 0; h < group; ++h) {
      const int64_t head = kv_head * group + h;
      const Scoring scoring{test.scale, test.soft_cap, test.reach ? bias.data() + head * distances : nullptr, reach,
                            position};
      oracle_attention(check, sight, q.data() + (row_begin + row) * q_stride + head * head_dim, scoring,
                       want.data() + (row * group + h) * partial_floats);
    }
  }
  // A page that no row sees is at an address that nothing has: reading it stops the test.
  int32_t* of_sequence = pages.tables.data() + sequence * pages.per_table;
  for (std::size_t page = 0; page < seen.size(); ++page) {
    if (!seen[page]) of_sequence[page] = 1 << 29;
  }
  const int64_t next_page = random.between(0, pages.per_table - 1);
  const AttentionNext next{of_sequence, random.between(0, kv_heads - 1), next_page,
                           std::min(next_page + random.between(0, kSpanTokens / 32), pages.per_table)};
  table.attention({q.data(), q_stride, row_begin, rows, test.position, of_sequence, group, kv_head, head_dim, span,
                   test.before, test.after, keys, test.scale, test.soft_cap, test.reach ? bias.data() : nullptr, reach,
                   cache.layer(), scratch.data(), partials.data(), next});
  check.same("partials", partials, want, partial_floats);
}

inline void test_attention(Check& check, const KernelTable& table) {
  constexpr int64_t kPositions[] = {0, 1, 15, 16, 30, 31, 32, 77, 200, 250, 255, 256, 257, 300, 511, 600};
  constexpr std::optional<int64_t> kReaches[] = {{}, 0, {}, 1, 20, {}, 130};
  uint64_t seed = 8000;
  for (const HeadShape& shape : kHeadShapes) {
    for (const KvType type : kKvTypes) {
      for (const int64_t before : {kEveryKey, int64_t{0}, int64_t{4}, int64_t{32}, int64_t{99}, int64_t{299},
                                   int64_t{999}}) {
        for (const int64_t after : {int64_t{0}, int64_t{0}, int64_t{0}, int64_t{3}, int64_t{70}, kEveryKey}) {
          // A large scale makes exp reach its lower clamp; tiny and zero values make all keys equal.
          const float scale = seed % 3 == 0 ? 20.0f : 0.125f;
          const Values values = seed % 4 == 0 ? Values::tiny : seed % 9 == 0 ? Values::zero : Values::ordinary;
          const int64_t position = kPositions[seed * 7 % std::size(kPositions)];
          const float soft_cap = seed % 5 == 2 ? 1.5f : 0.0f;
          const std::optional<int64_t> reach = kReaches[seed % std::size(kReaches)];
          test_attention_case(check, table, {shape, type, before, after, position, scale, soft_cap, reach, values},
                              seed++);
        }
      }
    }
  }
}

// ---- attention_merge ---------------------------------------------------------------------------------------------

// y of one row and head from its partials, which become one.
inline void oracle_merge(Check& check, float* state, std::vector<const float*> later, const float* sink,
                         int64_t head_dim, float* y) {
  std::vector<float> of_sink(static_cast<std::size_t>(kPartialValues + head_dim), 0.0f);
  if (sink != nullptr) {
    of_sink[0] = *sink;
    of_sink[1] = 1.0f;
    later.push_back(of_sink.data());
  }
  double largest = static_cast<double>(state[0]);
  for (const float* partial : later) largest = std::max(largest, static_cast<double>(partial[0]));
  double sum = 0.0;
  double value = 0.0;
  double magnitude = 1e-12;
  const auto add = [&](const float* partial) {
    const double weight = std::exp(static_cast<double>(partial[0]) - largest);
    sum += weight * static_cast<double>(partial[1]);
    value += weight * static_cast<double>(partial[kPartialValues]);
    magnitude += weight * std::fabs(static_cast<double>(partial[kPartialValues]));
  };
  add(state);
  for (const float* partial : later) {
    add(partial);
    const float m = std::max(state[0], partial[0]);
    const float a = oracle_exp(state[0] - m);
    const float b = oracle_exp(partial[0] - m);
    state[0] = m;
    state[1] = std::fmaf(state[1], a, partial[1] * b);
    for (int64_t d = kPartialValues; d < kPartialValues + head_dim; ++d) {
      state[d] = std::fmaf(state[d], a, partial[d] * b);
    }
  }
  for (int64_t d = 0; d < head_dim; ++d) y[d] = state[kPartialValues + d] / state[1];
  check.close("merged value", y[0], value / sum, magnitude / sum, 100);
}

inline void test_attention_merge_case(Check& check, const KernelTable& table, const HeadShape& shape, int64_t count,
                                      bool at_once, bool with_sinks) {
  const int64_t group = shape.heads / shape.kv_heads, head_dim = shape.head_dim;
  if (!check.begin("group %lld head_dim %lld, %lld spans %s%s", static_cast<long long>(group),
                   static_cast<long long>(head_dim), static_cast<long long>(count), at_once ? "at once" : "one by one",
                   with_sinks ? ", sinks" : "")) {
    return;
  }
  Random random(9000 + static_cast<uint64_t>(head_dim * 8 + count + shape.heads * 1024));
  const int64_t rows = random.between(1, 5);
  const int64_t partial_floats = kPartialValues + head_dim;
  const int64_t used = rows * group * partial_floats;
  const int64_t span_stride = used + 16 * random.between(0, 2);
  Guarded<float> partials((count - 1) * span_stride + used);
  fill(partials, canary());
  for (int64_t span = 0; span < count; ++span) {
    for (int64_t i = 0; i < rows * group; ++i) {
      float* partial = partials.data() + span * span_stride + i * partial_floats;
      partial[0] = random.bell() * (random.chance(4) ? 200.0f : 3.0f);
      partial[1] = 1.0f + std::fabs(random.unit()) * 255.0f;
      for (int64_t d = 0; d < head_dim; ++d) partial[kPartialValues + d] = random.bell();
    }
  }
  Guarded<float> of_heads(group);
  for (int64_t i = 0; i < group; ++i) of_heads[i] = random.bell() * (random.chance(3) ? 200.0f : 3.0f);
  const float* const sinks = with_sinks ? of_heads.data() : nullptr;
  const int64_t y_stride = shape.heads * head_dim + random.between(0, 3);
  Guarded<float> y((rows - 1) * y_stride + group * head_dim);
  fill(y, canary());
  std::vector<float> want_y = y.image();
  std::vector<float> want = partials.image();
  for (int64_t i = 0; i < rows * group; ++i) {
    std::vector<const float*> later;
    for (int64_t span = 1; span < count; ++span) {
      later.push_back(partials.data() + span * span_stride + i * partial_floats);
    }
    const float* const sink = with_sinks ? sinks + i % group : nullptr;
    oracle_merge(check, want.data() + i * partial_floats, later, sink, head_dim,
                 want_y.data() + i / group * y_stride + i % group * head_dim);
  }
  AttentionMergeArgs args{partials.data(), count, span_stride, rows, group, head_dim, sinks, y.data(), y_stride};
  if (at_once) {
    table.attention_merge(args);
  } else {  // each time as second of two, as where the spans of a tile come one after the other
    args.count = count == 1 ? 1 : 2;
    for (int64_t span = 1; span < std::max<int64_t>(count, 2); ++span) {
      args.span_stride = span * span_stride;
      args.sinks = span + 1 < count ? nullptr : sinks;
      table.attention_merge(args);
    }
  }
  check.same("y", y, want_y, y_stride);
  check.same("partials", partials, want, partial_floats);
}

inline void test_attention_merge(Check& check, const KernelTable& table) {
  for (const HeadShape& shape : kHeadShapes) {
    for (const int64_t count : {1, 2, 3, 7}) {
      for (const bool with_sinks : {false, true}) {
        test_attention_merge_case(check, table, shape, count, true, with_sinks);
        test_attention_merge_case(check, table, shape, count, false, with_sinks);
      }
    }
  }
}

}  // namespace honed::contract
