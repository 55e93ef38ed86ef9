// The experts that rows go to.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

bool is_chosen(const int32_t* numbers, int64_t count, int64_t expert) {
  for (int64_t j = 0; j < count; ++j) {
    if (numbers[j] == expert) return true;
  }
  return false;
}

// The greatest of those that are not chosen yet.
int32_t next(const float* x, int64_t experts, const int32_t* numbers, int64_t count) {
  int64_t best = -1;
  for (int64_t e = 0; e < experts; ++e) {
    if (!is_chosen(numbers, count, e) && (best < 0 || x[e] > x[best])) best = e;
  }
  return static_cast<int32_t>(best);
}

void sort_ascending(int32_t* numbers, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = i + 1; j < count; ++j) {
      if (numbers[j] < numbers[i]) {
        const int32_t greater = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = greater;
      }
    }
  }
}

}  // namespace

void route(const RouteArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    int32_t* numbers = args.numbers + row * args.y_stride;
    float* weights = args.weights + row * args.y_stride;
    for (int64_t j = 0; j < args.chosen; ++j) numbers[j] = next(x, args.experts, numbers, j);
    const float most = x[numbers[0]];
    sort_ascending(numbers, args.chosen);
    float sum = 0.0f;
    for (int64_t e = 0; args.scoring == Scoring::softmax && e < args.experts; ++e) sum = sum + exp(x[e] - most);
    for (int64_t j = 0; j < args.chosen; ++j) {
      const float value = x[numbers[j]];
      weights[j] = args.scoring == Scoring::sigmoid ? 1.0f / (1.0f + exp(-value)) : exp(value - most);
      if (args.scoring == Scoring::softmax_of_chosen) sum = sum + weights[j];
    }
    for (int64_t j = 0; args.scoring != Scoring::sigmoid && j < args.chosen; ++j) weights[j] = weights[j] / sum;
  }
}

}  // namespace honed::portable
