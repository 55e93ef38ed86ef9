// The contract of layer_norm.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/rows.h"

namespace honed::contract {

inline void test_layer_norm_case(Check& check, const KernelTable& table, int64_t width, bool in_place, bool with_bias,
                                 Values values) {
  Random random(2500 + static_cast<uint64_t>(width * 4 + in_place * 2 + with_bias));
  RowRange range = draw_rows(random, width, width);
  if (in_place) range.y_stride = range.x_stride;
  char mode[64];
  std::snprintf(mode, sizeof mode, "%s, %s bias", in_place ? "in place" : "apart", with_bias ? "with" : "without");
  if (!begin_rows(check, range, mode, values)) return;
  Guarded<float> x((range.rows - 1) * range.x_stride + width);
  random.fill(x, values);
  if (random.chance(2)) {  // far from zero: the mean goes out before anything is squared
    for (int64_t i = 0; i < x.size(); ++i) x[i] = x[i] + 100.0f;
  }
  Guarded<float> weight(width), bias(width);
  random.fill(weight, Values::ordinary);
  random.fill(bias, Values::ordinary);
  const float* const shift = with_bias ? bias.data() : nullptr;
  const float eps = 1e-5f;
  Guarded<float> apart((range.rows - 1) * range.y_stride + width);
  fill(apart, canary());
  Guarded<float>& y = in_place ? x : apart;
  std::vector<float> want = y.image();
  for (int64_t row = range.begin; row < range.end; ++row) {
    const float* source = x.data() + row * range.x_stride;
    float* place = want.data() + row * range.y_stride;
    oracle_layer_norm(source, weight.data(), shift, width, eps, place);
    double mean = 0.0, largest = 0.0, squares = 0.0;
    for (int64_t i = 0; i < width; ++i) mean += static_cast<double>(source[i]) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(source[i])));
      squares += std::pow(static_cast<double>(source[i]) - mean, 2);
    }
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps));
    const double w = static_cast<double>(weight[0]);
    const double b = with_bias ? static_cast<double>(bias[0]) : 0.0;
    const double exact = (static_cast<double>(source[0]) - mean) * r * w + b;
    // The mean is off by roundings of the largest value, which `r` magnifies; itself and, through `r`, the whole.
    if (squares < 1e36) {
      check.close("first value", place[0], exact, (largest * r + 1.0) * (std::fabs(w) + std::fabs(b)), 4 * width);
    }
  }
  table.layer_norm({x.data(), range.x_stride, range.begin, range.end, weight.data(), shift, width, eps, y.data(),
                    range.y_stride});
  check.same("y", y, want, range.y_stride);
}

inline void test_layer_norm(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const bool in_place : {false, true}) {
        for (const bool with_bias : {false, true}) {
          test_layer_norm_case(check, table, width, in_place, with_bias, values);
        }
      }
    }
  }
}

}  // namespace honed::contract
