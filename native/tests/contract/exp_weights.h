// The contract of exp_weights: the exponential by library calls that are exact (nearbyint, ldexp), term by term.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernel_table.h"
#include "tests/contract/check.h"
#include "tests/contract/memory.h"

namespace honed::contract {

inline double expected_weight(float x, double greatest, double temperature) {
  const double e = (static_cast<double>(x) - greatest) / temperature;
  if (e < -700.0) return 0.0;
  const double n = std::nearbyint(e * (1.0 / 0x1.62e42fefa39efp-1));
  const double r = (e - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double factorial = 6227020800.0;
  double p = 1.0 / factorial;
  for (int k = 13; k > 0; --k) {
    factorial /= k;
    p = p * r;
    p = p + 1.0 / factorial;
  }
  return std::ldexp(p, static_cast<int>(n));
}

inline void test_exp_weights(Check& check, const KernelTable& table) {
  constexpr int64_t kCounts[] = {1, 3, 31, 32, 33, 511, 512, 513, 1024, 2500};
  constexpr double kTemperatures[] = {1.0, 0.8, 1e-3, 1e-300};
  for (const int64_t count : kCounts) {
    for (const double temperature : kTemperatures) {
      if (!check.begin("count %lld, temperature %g", static_cast<long long>(count), temperature)) continue;
      Random random(7000 + static_cast<uint64_t>(count));
      Guarded<float> x(count);
      random.fill(x, Values::ordinary);
      if (count > 2) x[count / 2] = -3e38f;
      double greatest = x[0];
      for (int64_t i = 0; i < count; ++i) greatest = std::fmax(greatest, x[i]);
      Guarded<double> weights(count);
      const int64_t blocks = (count + kSumBlock - 1) / kSumBlock;
      Guarded<double> sums(blocks + 1);
      table.exp_weights({x.data(), count, greatest, temperature, weights.data(), sums.data()});
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) {
        if (i % kSumBlock == 0 && sums[i / kSumBlock] != sum) check.fail("sum before %lld", static_cast<long long>(i));
        const double want = expected_weight(x[i], greatest, temperature);
        if (std::memcmp(&want, &weights[i], sizeof want) != 0) {
          check.fail("weight %lld is %.17g, should be %.17g", static_cast<long long>(i), weights[i], want);
        }
        sum += want;
      }
      if (sums[blocks] != sum) check.fail("sum of all is %.17g, should be %.17g", sums[blocks], sum);
    }
  }
}

}  // namespace honed::contract
