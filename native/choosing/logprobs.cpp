#include "choosing/logprobs.h"

#include <algorithm>
#include <cmath>

#include "choosing/largest.h"

namespace honed {

double log_positive(double x) {
  int k;
  double m = std::frexp(x, &k);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m = 2 * m;
    k = k - 1;
  }
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double total = 1.0 / 23;
  for (int power = 21; power > 0; power -= 2) total = total * square + 1.0 / power;
  return k * 0x1.62e42feep-1 + (k * 0x1.a39ef35793c76p-33 + 2 * s * total);
}

Logprobs logprobs_of(const float* logits, int64_t vocabulary, float greatest, int32_t token, int64_t count, double sum,
                     const KernelTable& kernels, ChoosingScratch& scratch) {
  if (sum < 0) {
    kernels.exp_weights({logits, vocabulary, greatest, 1.0, scratch.weights.data(), scratch.sums.data()});
    sum = scratch.sums[static_cast<std::size_t>((vocabulary + kSumBlock - 1) / kSumBlock)];
  }
  const double whole = log_positive(sum);
  const auto logprob = [&](int32_t place) {
    return (static_cast<double>(logits[place]) - static_cast<double>(greatest)) - whole;
  };
  Logprobs result{logprob(token), {}, 0};
  int32_t rank = 0;
  for (int64_t i = 0; i < vocabulary; ++i) rank += logits[i] > logits[token] ? 1 : 0;
  result.rank = rank;
  if (count > 0) {
    std::vector<int32_t>& places = scratch.places;
    largest(logits, vocabulary, std::min(count, vocabulary), places);
    std::stable_sort(places.begin(), places.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    for (const int32_t place : places) result.top.emplace_back(place, logprob(place));
  }
  return result;
}

}  // namespace honed
