// The contract of the two slots around the paged KV cache: rope_kv and attention.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"

namespace honed::contract {

// Sequences whose pages lie scattered in one cache.
struct Pages {
  int64_t sequences;
  int64_t per_table;
  Guarded<int32_t> tables;

  Pages(Random& random, int64_t sequence_count, int64_t pages_per_table)
      : sequences(sequence_count), per_table(pages_per_table), tables(sequence_count * pages_per_table) {
    for (int64_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<int32_t>(i);
    for (int64_t i = tables.size() - 1; i > 0; --i) std::swap(tables[i], tables[random.between(0, i)]);
  }
  int64_t count() const { return tables.size(); }
  int64_t page(int64_t sequence, int64_t key) const { return tables[sequence * per_table + key / 32]; }
};

struct HeadShape {
  int64_t heads, kv_heads, head_dim;
};

inline constexpr HeadShape kHeadShapes[] = {{1, 1, 16}, {4, 4, 64}, {4, 2, 80},  {9, 3, 64}, {8, 2, 128},
                                            {7, 1, 64}, {5, 1, 16}, {6, 2, 128}, {3, 3, 80}, {2, 1, 24}};

// ---- rope_kv -------------------------------------------------------------------------------------------------

inline void oracle_rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float x1 = head[i];
    const float x2 = head[i + half];
    const float from_second = x2 * sin[i];
    const float from_first = x1 * sin[i];
    head[i] = std::fmaf(x1, cos[i], -from_second);
    head[i + half] = std::fmaf(x2, cos[i], from_first);
  }
}

inline void test_rope_kv_case(Check& check, const KernelTable& table, const HeadShape& shape, int64_t rotary_dim,
                              int norms, Values values) {
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  if (!check.begin("heads %lld kv %lld head_dim %lld rotary_dim %lld norms %d, %s values",
                   static_cast<long long>(heads), static_cast<long long>(kv_heads), static_cast<long long>(head_dim),
                   static_cast<long long>(rotary_dim), norms, name_of(values))) {
    return;
  }
  Random random(7000 + static_cast<uint64_t>(head_dim * 16 + heads * 4 + norms) + static_cast<uint64_t>(rotary_dim));
  const int64_t rows = random.between(1, 7);
  const Pages pages(random, 3, 4);
  const int64_t width = (heads + 2 * kv_heads) * head_dim;
  const int64_t half = rotary_dim / 2;
  const int64_t stride = width + random.between(0, 3);
  Guarded<float> qkv((rows - 1) * stride + width);
  random.fill(qkv, values);
  Guarded<float> cos(rows * half), sin(rows * half), q_norm(head_dim), k_norm(head_dim);
  for (int64_t i = 0; i < cos.size(); ++i) {
    const double angle = static_cast<double>(random.unit()) * 100.0;
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
  random.fill(q_norm, Values::ordinary);
  random.fill(k_norm, Values::ordinary);
  Guarded<int32_t> positions(rows), sequences(rows);
  for (int64_t row = 0; row < rows; ++row) {  // distinct places, so that rows do not overwrite one another
    positions[row] = static_cast<int32_t>(row * 17 + random.between(0, 16));
    sequences[row] = static_cast<int32_t>(random.between(0, 2));
  }
  Guarded<float> keys(pages.count() * kv_heads * head_dim * 32), values_cache(keys.size());
  fill(keys, canary());
  fill(values_cache, canary());
  const int64_t begin = random.chance(3) ? random.between(0, rows - 1) : 0;
  const RopeKvArgs args{qkv.data(), stride, begin, rows, positions.data(), sequences.data(), pages.tables.data(),
                        pages.per_table, cos.data(), sin.data(), heads, kv_heads, head_dim, rotary_dim,
                        (norms & 1) != 0 ? q_norm.data() : nullptr, (norms & 2) != 0 ? k_norm.data() : nullptr, 1e-6f,
                        {keys.data(), values_cache.data()}};

  std::vector<float> want = qkv.image();
  std::vector<float> want_keys = keys.image();
  std::vector<float> want_values = values_cache.image();
  for (int64_t row = begin; row < rows; ++row) {
    for (int64_t h = 0; h < heads + kv_heads; ++h) {
      float* head = want.data() + row * stride + h * head_dim;
      const float* norm = h < heads ? args.q_norm : args.k_norm;
      if (norm != nullptr) oracle_rms_norm(head, norm, head_dim, args.eps, head);
      oracle_rotate(head, cos.data() + row * half, sin.data() + row * half, half);
    }
    const int64_t position = positions[row];
    for (int64_t h = 0; h < kv_heads; ++h) {
      const int64_t start = (pages.page(sequences[row], position) * kv_heads + h) * head_dim * 32;
      const float* k = want.data() + row * stride + (heads + h) * head_dim;
      for (int64_t d = 0; d < head_dim; ++d) {
        want_keys[static_cast<std::size_t>(start + d * 32 + position % 32)] = k[d];
        want_values[static_cast<std::size_t>(start + position % 32 * head_dim + d)] = k[kv_heads * head_dim + d];
      }
    }
  }
  table.rope_kv(args);
  check.same("qkv", qkv, want, stride);
  check.same("keys", keys, want_keys, 32);
  check.same("values", values_cache, want_values, head_dim);
}

inline void test_rope_kv(Check& check, const KernelTable& table) {
  for (const HeadShape& shape : kHeadShapes) {
    for (int norms = 0; norms < 4; ++norms) {
      for (const int64_t rotary_dim : {shape.head_dim, shape.head_dim / 2, shape.head_dim / 4 + 6}) {
        const Values values = kAllValues[(norms + rotary_dim) % 5];
        test_rope_kv_case(check, table, shape, rotary_dim / 2 * 2, norms, values);
      }
    }
  }
}

// ---- attention -----------------------------------------------------------------------------------------------

// One query head over keys [first, last] of its sequence.
struct Span {
  const Pages& pages;
  const Guarded<float>& keys;
  const Guarded<float>& values;
  int64_t sequence, kv_heads, kv_head, head_dim, first, last;

  int64_t start(int64_t key) const { return (pages.page(sequence, key) * kv_heads + kv_head) * head_dim * 32; }
  float key_at(int64_t key, int64_t d) const { return keys[start(key) + d * 32 + key % 32]; }
  float value_at(int64_t key, int64_t d) const { return values[start(key) + key % 32 * head_dim + d]; }
};

inline void oracle_attention(Check& check, const Span& span, const float* q, float scale, float* y) {
  std::vector<float> scores;
  for (int64_t key = span.first; key <= span.last; ++key) {
    float dot = 0.0f;
    for (int64_t d = 0; d < span.head_dim; ++d) dot = std::fmaf(q[d], span.key_at(key, d), dot);
    scores.push_back(dot * scale);
  }
  const float largest = *std::max_element(scores.begin(), scores.end());
  OracleLanes lanes;
  double exact_sum = 0.0;
  std::vector<double> exact(static_cast<std::size_t>(span.head_dim), 0.0);
  for (int64_t key = span.first; key <= span.last; ++key) {
    float& p = scores[static_cast<std::size_t>(key - span.first)];
    const double exact_p = std::exp(static_cast<double>(p - largest));
    exact_sum += exact_p;
    for (int64_t d = 0; d < span.head_dim; ++d) {
      exact[static_cast<std::size_t>(d)] += exact_p * static_cast<double>(span.value_at(key, d));
    }
    p = oracle_exp(p - largest);
    lanes.add(key, p);
  }
  for (int64_t d = 0; d < span.head_dim; ++d) {
    float sum = 0.0f;
    double magnitude = 1e-12;
    for (int64_t key = span.first; key <= span.last; ++key) {
      sum = std::fmaf(scores[static_cast<std::size_t>(key - span.first)], span.value_at(key, d), sum);
      magnitude = std::max(magnitude, std::fabs(static_cast<double>(span.value_at(key, d))));
    }
    y[d] = sum / lanes.sum();
    check.close("weighted value", y[d], exact[static_cast<std::size_t>(d)] / exact_sum, magnitude,
                2 * (span.last - span.first + 1));
  }
}

struct AttentionCase {
  HeadShape shape;
  int64_t window;
  float scale;
  Values values;
};

inline void test_attention_case(Check& check, const KernelTable& table, const AttentionCase& test, uint64_t seed) {
  const int64_t heads = test.shape.heads, kv_heads = test.shape.kv_heads, head_dim = test.shape.head_dim;
  if (!check.begin("heads %lld kv %lld head_dim %lld window %lld scale %g, %s values", static_cast<long long>(heads),
                   static_cast<long long>(kv_heads), static_cast<long long>(head_dim),
                   static_cast<long long>(test.window), static_cast<double>(test.scale), name_of(test.values))) {
    return;
  }
  Random random(seed);
  const int64_t rows = random.between(1, 5);
  const Pages pages(random, 2, 5);
  Guarded<int32_t> positions(rows), sequences(rows);
  constexpr int32_t kPositions[] = {0, 1, 15, 16, 30, 31, 32, 33, 63, 64, 77, 128, 159};
  for (int64_t row = 0; row < rows; ++row) {
    positions[row] = kPositions[random.between(0, 12)];
    sequences[row] = static_cast<int32_t>(random.between(0, 1));
  }
  Guarded<float> keys(pages.count() * kv_heads * head_dim * 32), values(keys.size());
  fill(keys, canary());  // what no token sees stays not a number
  fill(values, canary());
  const auto first_of = [&](int64_t row) {
    return test.window > 0 ? std::max<int64_t>(0, positions[row] - test.window + 1) : 0;
  };
  const auto write = [&](int64_t row) {
    for (int64_t key = first_of(row); key <= positions[row]; ++key) {
      for (int64_t h = 0; h < kv_heads; ++h) {
        const int64_t start = (pages.page(sequences[row], key) * kv_heads + h) * head_dim * 32;
        for (int64_t d = 0; d < head_dim; ++d) {
          keys[start + d * 32 + key % 32] = random.value(test.values);
          values[start + key % 32 * head_dim + d] = random.value(test.values);
        }
      }
    }
  };
  for (int64_t row = 0; row < rows; ++row) write(row);
  const int64_t q_stride = (heads + 2 * kv_heads) * head_dim + random.between(0, 3);
  const int64_t y_stride = heads * head_dim + random.between(0, 3);
  Guarded<float> q((rows - 1) * q_stride + heads * head_dim), y((rows - 1) * y_stride + heads * head_dim);
  random.fill(q, test.values);
  fill(y, canary());
  const int64_t scratch_stride = round_up(*std::max_element(positions.data(), positions.data() + rows) + 1, 32) + 32;
  Guarded<float> scratch(heads / kv_heads * scratch_stride);
  fill(scratch, canary());
  const int64_t begin = random.chance(3) ? random.between(0, rows * kv_heads - 1) : 0;
  const int64_t end = random.chance(3) ? random.between(begin, rows * kv_heads) : rows * kv_heads;

  std::vector<float> want = y.image();
  for (int64_t item = begin; item < end; ++item) {
    const int64_t row = item / kv_heads;
    const int64_t kv_head = item % kv_heads;
    const Span span{pages, keys, values, sequences[row], kv_heads, kv_head, head_dim, first_of(row), positions[row]};
    for (int64_t h = kv_head * (heads / kv_heads); h < (kv_head + 1) * (heads / kv_heads); ++h) {
      oracle_attention(check, span, q.data() + row * q_stride + h * head_dim, test.scale,
                       want.data() + row * y_stride + h * head_dim);
    }
  }
  table.attention({q.data(), q_stride, begin, end, positions.data(), sequences.data(), pages.tables.data(),
                   pages.per_table, heads, kv_heads, head_dim, test.window, test.scale, {keys.data(), values.data()},
                   scratch.data(), scratch_stride, y.data(), y_stride});
  check.same("y", y, want, y_stride);
}

inline void test_attention(Check& check, const KernelTable& table) {
  uint64_t seed = 8000;
  for (const HeadShape& shape : kHeadShapes) {
    for (const int64_t window : {0, 1, 5, 16, 33, 100, 1000}) {
      // A large scale makes exp reach its lower clamp; tiny and zero values make all keys equal.
      const float scale = seed % 3 == 0 ? 20.0f : 0.125f;
      const Values values = seed % 4 == 0 ? Values::tiny : seed % 9 == 0 ? Values::zero : Values::ordinary;
      test_attention_case(check, table, {shape, window, scale, values}, seed++);
    }
  }
}

}  // namespace honed::contract
