// exp of doubles, and their running sum. Plain loops, which the compiler makes vectors of in every set: no operation here
// differs between them.
#pragma once

#include <cstdint>

#include "cpu/kernel_table.h"

namespace honed::shared {
namespace {

// To the nearest whole number, ties to even, for what is far smaller than 2^51; the low bits then are that number.
constexpr double kRounder = 0x1.8p52;

constexpr double kExpTerms[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                                1.0 / 40320.0,      1.0 / 5040.0,      1.0 / 720.0,      1.0 / 120.0,     1.0 / 24.0,
                                1.0 / 6.0,          1.0 / 2.0,         1.0,              1.0};

// e^x for x from -700 to 0.
[[gnu::always_inline]] inline double exp_nonpositive(double x) {
  const double shifted = x * 0x1.71547652b82fep0 + kRounder;
  const double n = shifted - kRounder;
  const double r = (x - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double p = kExpTerms[0];
#pragma GCC unroll 13
  for (int i = 1; i < 14; ++i) p = p * r + kExpTerms[i];
  const auto exponent = __builtin_bit_cast(uint64_t, shifted) - __builtin_bit_cast(uint64_t, kRounder) + 1023;
  return p * __builtin_bit_cast(double, exponent << 52);
}

// So few that the sum of one stretch, a chain of additions, runs beside the next one's vectors.
constexpr int64_t kStretch = 32;
static_assert(kSumBlock % kStretch == 0);

// A loop for each thing, because a compiler that sees the clip beside the rest makes a branch of it and no vectors.
inline void exp_weights_of(const float* x, int64_t count, double greatest, double temperature, double* weights) {
  double below[kStretch];
  for (int64_t i = 0; i < count; ++i) below[i] = static_cast<double>(x[i]) - greatest;
  if (temperature != 1.0) {
    for (int64_t i = 0; i < count; ++i) below[i] = below[i] / temperature;
  }
  for (int64_t i = 0; i < count; ++i) weights[i] = below[i] > -700.0 ? below[i] : -700.0;
  for (int64_t i = 0; i < count; ++i) weights[i] = exp_nonpositive(weights[i]);
  for (int64_t i = 0; i < count; ++i) weights[i] = below[i] < -700.0 ? 0.0 : weights[i];
}

inline void exp_weights(const ExpWeightsArgs& args) {
  double sum = 0.0;
  for (int64_t begin = 0; begin < args.count; begin += kStretch) {
    const int64_t left = args.count - begin;
    double* weights = args.weights + begin;
    if (left >= kStretch) {
      exp_weights_of(args.x + begin, kStretch, args.greatest, args.temperature, weights);
    } else {
      exp_weights_of(args.x + begin, left, args.greatest, args.temperature, weights);
    }
    if (begin % kSumBlock == 0) args.sums[begin / kSumBlock] = sum;
    for (int64_t i = 0; i < kStretch && i < left; ++i) sum += weights[i];
  }
  args.sums[(args.count + kSumBlock - 1) / kSumBlock] = sum;
}

}  // namespace
}  // namespace honed::shared
