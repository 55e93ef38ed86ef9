// The contract of route and combine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernel_table.h"
#include "tests/contract/oracle.h"
#include "tests/contract/rows.h"

namespace honed::contract {

// Experts by score, the greatest first, of equal ones the first, then the first `chosen` in ascending order.
inline std::vector<int32_t> expected_numbers(const float* x, int64_t experts, int64_t chosen) {
  std::vector<int32_t> order(static_cast<std::size_t>(experts));
  for (int64_t e = 0; e < experts; ++e) order[static_cast<std::size_t>(e)] = static_cast<int32_t>(e);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
  order.resize(static_cast<std::size_t>(chosen));
  std::sort(order.begin(), order.end());
  return order;
}

inline float expected_count(const float* x, int64_t experts, const std::vector<int32_t>& numbers, int32_t number,
                            honed::Scoring scoring) {
  if (scoring == honed::Scoring::sigmoid) return 1.0f / (1.0f + oracle_exp(-x[number]));
  const float most = *std::max_element(x, x + experts);
  float sum = 0.0f;
  if (scoring == honed::Scoring::softmax) {
    for (int64_t e = 0; e < experts; ++e) sum = sum + oracle_exp(x[e] - most);
  } else {
    for (const int32_t own : numbers) sum = sum + oracle_exp(x[own] - most);
  }
  return oracle_exp(x[number] - most) / sum;
}

inline void test_route(Check& check, const KernelTable& table) {
  constexpr int64_t kExperts[] = {1, 2, 5, 8, 16, 31, 64, 129, 1024};
  constexpr honed::Scoring kScorings[] = {honed::Scoring::softmax, honed::Scoring::softmax_of_chosen, honed::Scoring::sigmoid};
  for (const int64_t experts : kExperts) {
    for (const honed::Scoring scoring : kScorings) {
      Random random(8000 + static_cast<uint64_t>(experts));
      const int64_t chosen = random.between(1, std::min<int64_t>(experts, 9));
      const RowRange range = draw_rows(random, experts, 2 * chosen);
      if (!begin_rows(check, range, "route", Values::ordinary)) continue;
      Guarded<float> x((range.rows - 1) * range.x_stride + experts);
      random.fill(x, Values::ordinary);
      for (int64_t i = 0; i < x.size(); ++i) {
        if (random.chance(4)) x[i] = random.chance(2) ? 0.0f : -0.0f;  // ties
      }
      Guarded<float> y((range.rows - 1) * range.y_stride + 2 * chosen);
      fill(y, canary());
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        const float* scores = x.data() + row * range.x_stride;
        const std::vector<int32_t> numbers = expected_numbers(scores, experts, chosen);
        for (int64_t j = 0; j < chosen; ++j) {
          const int32_t number = numbers[static_cast<std::size_t>(j)];
          const auto place = static_cast<std::size_t>(row * range.y_stride + j);
          std::memcpy(&want[place], &number, sizeof number);
          want[place + static_cast<std::size_t>(chosen)] = expected_count(scores, experts, numbers, number, scoring);
        }
      }
      table.route({x.data(), range.x_stride, range.begin, range.end, experts, chosen, scoring,
                   reinterpret_cast<int32_t*>(y.data()), y.data() + chosen, range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

inline void test_combine(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      Random random(8100 + static_cast<uint64_t>(width));
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, "combine", values)) continue;
      const int64_t chosen = random.between(1, 5);
      const int64_t copies = range.rows * chosen;
      Guarded<float> x((copies - 1) * range.x_stride + width);
      Guarded<float> y((range.rows - 1) * range.y_stride + width);
      Guarded<float> weights(copies);
      random.fill(x, values);
      random.fill(y, values);
      random.fill(weights, Values::ordinary);
      std::vector<int32_t> places(static_cast<std::size_t>(copies));
      for (int64_t i = 0; i < copies; ++i) places[static_cast<std::size_t>(i)] = static_cast<int32_t>(copies - 1 - i);
      const bool add = random.chance(2);
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          float sum = 0.0f;
          for (int64_t j = 0; j < chosen; ++j) {
            const int64_t copy = row * chosen + j;
            const float value = x[places[static_cast<std::size_t>(copy)] * range.x_stride + i];
            sum = j == 0 ? weights[copy] * value : std::fma(weights[copy], value, sum);
          }
          float& place = want[static_cast<std::size_t>(row * range.y_stride + i)];
          place = add ? place + sum : sum;
        }
      }
      table.combine({x.data(), range.x_stride, places.data(), weights.data(), chosen, range.begin, range.end, chosen, width,
                     add, y.data(), range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

}  // namespace honed::contract
