// The contract of attention over one span, and of the fold of spans.
#pragma once

#include <cstdint>
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

// The scaled scores of the keys in sight.
inline std::vector<float> oracle_scores(const Sight& sight, const float* q, float scale) {
  const int64_t head_dim = sight.cache.head_dim;
  std::vector<int32_t> codes(static_cast<std::size_t>(head_dim));
  const float step = oracle_quantize(q, head_dim, head_dim, codes.data(), 16256.0f);
  std::vector<float> scores;
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float dot = 0.0f;
    int64_t sum = 0;
    for (int64_t d = 0; d < head_dim; ++d) {
      if (!sight.scaled()) {
        dot = std::fmaf(q[d], sight.key_at(key, d), dot);
        continue;
      }
      sum += codes[static_cast<std::size_t>(d)] * static_cast<int64_t>(sight.key_at(key, d));
      if (d % 32 != 31 && d != head_dim - 1) continue;
      dot = std::fmaf(static_cast<float>(sum), sight.key_scale(key, d), dot);
      sum = 0;
    }
    scores.push_back(dot * (sight.scaled() ? step * scale : scale));
  }
  return scores;
}

// The values of the keys in sight, feature d, weighted.
inline float oracle_mix(const Sight& sight, const std::vector<float>& weights, int64_t d) {
  const auto weight_of = [&](int64_t key) { return weights[static_cast<std::size_t>(key - sight.first)]; };
  float mixed = 0.0f;
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
inline void oracle_attention(Check& check, const Sight& sight, const float* q, float scale, float* partial) {
  const int64_t head_dim = sight.cache.head_dim;
  std::vector<float> weights = oracle_scores(sight, q, scale);
  const float largest = *std::max_element(weights.begin(), weights.end()) + 0.0f;
  OracleLanes lanes;
  std::vector<double> exact(static_cast<std::size_t>(head_dim), 0.0);
  for (int64_t key = sight.first; key <= sight.last; ++key) {
    float& p = weights[static_cast<std::size_t>(key - sight.first)];
    const double exact_p = std::exp(static_cast<double>(p - largest));
    const double value_scale = sight.scaled() ? static_cast<double>(sight.value_scale(key)) : 1.0;
    for (int64_t d = 0; d < head_dim; ++d) {
      exact[static_cast<std::size_t>(d)] += exact_p * value_scale * static_cast<double>(sight.value_at(key, d));
    }
    p = oracle_exp(p - largest);
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
    const int64_t codes = sight.scaled() ? 257 : 0;  // 2^23 / 32767
    check.close("weighted value", partial[kPartialValues + d], exact[static_cast<std::size_t>(d)],
                magnitude * static_cast<double>(keys), 2 * keys + codes);
  }
}

struct AttentionCase {
  HeadShape shape;
  KvType type;
  int64_t window;
  int64_t position;  // of the first row
  float scale;
  Values values;
};

inline void test_attention_case(Check& check, const KernelTable& table, const AttentionCase& test, uint64_t seed) {
  const int64_t heads = test.shape.heads, kv_heads = test.shape.kv_heads, head_dim = test.shape.head_dim;
  if (!check.begin("heads %lld kv %lld head_dim %lld, %s cache, window %lld, position %lld, scale %g, %s values",
                   static_cast<long long>(heads), static_cast<long long>(kv_heads), static_cast<long long>(head_dim),
                   name_of(test.type), static_cast<long long>(test.window), static_cast<long long>(test.position),
                   static_cast<double>(test.scale), name_of(test.values))) {
    return;
  }
  Random random(seed);
  const int64_t group = heads / kv_heads;
  const int64_t kv_head = random.between(0, kv_heads - 1);
  const auto first_of = [&](int64_t position) {
    return test.window > 0 ? std::max<int64_t>(0, position - test.window + 1) : 0;
  };
  // The first row is the lowest of the tile, the last one still sees a key of a span that the first one sees.
  const int64_t span = random.between(first_of(test.position) / kSpanTokens, test.position / kSpanTokens);
  int64_t tile = random.between(1, random.chance(2) ? 4 : 40);
  while (first_of(test.position + tile - 1) / kSpanTokens > span) --tile;
  const int64_t row_begin = random.between(0, 2);
  const int64_t rows = row_begin + tile;
  Pages pages(random, 2, (test.position + 40) / 32 + 1);
  const int64_t sequence = random.between(0, 1);
  CellCache cache(random, test.type, pages.count(), kv_heads, head_dim);
  std::vector<float> token(static_cast<std::size_t>(head_dim));
  std::vector<bool> seen(static_cast<std::size_t>(pages.per_table), false);
  const int64_t span_begin = span * kSpanTokens, span_last = span_begin + kSpanTokens - 1;
  const int64_t lowest = std::max(span_begin, first_of(test.position));
  const int64_t highest = std::min(span_last, test.position + tile - 1);
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
  const int64_t partial_floats = kPartialValues + head_dim;
  Guarded<float> partials(tile * group * partial_floats);
  fill(partials, canary());
  Guarded<float> scratch(tile * group * (kScoreStride + round_up(head_dim, 16)));
  fill(scratch, canary());

  std::vector<float> want = partials.image();
  for (int64_t row = 0; row < tile; ++row) {
    const int64_t position = test.position + row;
    const Sight sight{pages, cache, sequence, kv_head, std::max(span_begin, first_of(position)),
                      std::min(span_last, position)};
    for (int64_t h = 0; h < group; ++h) {
      oracle_attention(check, sight, q.data() + (row_begin + row) * q_stride + (kv_head * group + h) * head_dim,
                       test.scale, want.data() + (row * group + h) * partial_floats);
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
                   test.window, test.scale, cache.layer(), scratch.data(), partials.data(), next});
  check.same("partials", partials, want, partial_floats);
}

inline void test_attention(Check& check, const KernelTable& table) {
  constexpr int64_t kPositions[] = {0, 1, 15, 16, 30, 31, 32, 77, 200, 250, 255, 256, 257, 300, 511, 600};
  uint64_t seed = 8000;
  for (const HeadShape& shape : kHeadShapes) {
    for (const KvType type : kKvTypes) {
      for (const int64_t window : {0, 1, 5, 33, 100, 300, 1000}) {
        for (int repeat = 0; repeat < 3; ++repeat) {
          // A large scale makes exp reach its lower clamp; tiny and zero values make all keys equal.
          const float scale = seed % 3 == 0 ? 20.0f : 0.125f;
          const Values values = seed % 4 == 0 ? Values::tiny : seed % 9 == 0 ? Values::zero : Values::ordinary;
          const int64_t position = kPositions[seed * 7 % std::size(kPositions)];
          test_attention_case(check, table, {shape, type, window, position, scale, values}, seed++);
        }
      }
    }
  }
}

// ---- attention_merge ---------------------------------------------------------------------------------------------

// y of one row and head from its partials, which become one.
inline void oracle_merge(Check& check, float* state, const std::vector<const float*>& later, int64_t head_dim,
                         float* y) {
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
                                      bool at_once) {
  const int64_t group = shape.heads / shape.kv_heads, head_dim = shape.head_dim;
  if (!check.begin("group %lld head_dim %lld, %lld spans %s", static_cast<long long>(group),
                   static_cast<long long>(head_dim), static_cast<long long>(count),
                   at_once ? "at once" : "one by one")) {
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
    oracle_merge(check, want.data() + i * partial_floats, later, head_dim,
                 want_y.data() + i / group * y_stride + i % group * head_dim);
  }
  AttentionMergeArgs args{partials.data(), count, span_stride, rows, group, head_dim, y.data(), y_stride};
  if (at_once) {
    table.attention_merge(args);
  } else {  // each time as second of two, as where the spans of a tile come one after the other
    args.count = count == 1 ? 1 : 2;
    for (int64_t span = 1; span < std::max<int64_t>(count, 2); ++span) {
      args.span_stride = span * span_stride;
      table.attention_merge(args);
    }
  }
  check.same("y", y, want_y, y_stride);
  check.same("partials", partials, want, partial_floats);
}

inline void test_attention_merge(Check& check, const KernelTable& table) {
  for (const HeadShape& shape : kHeadShapes) {
    for (const int64_t count : {1, 2, 3, 7}) {
      test_attention_merge_case(check, table, shape, count, true);
      test_attention_merge_case(check, table, shape, count, false);
    }
  }
}

}  // namespace honed::contract
