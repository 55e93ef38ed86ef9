// LayerNorm of whole rows.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

float mean_of(const float* x, int64_t width) {
  float lanes[kLanes] = {};
  for (int64_t k = 0; k < width; ++k) lanes[k % kLanes] = lanes[k % kLanes] + x[k];
  return fold_lanes(lanes) / static_cast<float>(width);
}

float inverse_deviation(const float* x, float mean, int64_t width, float eps) {
  float lanes[kLanes] = {};
  for (int64_t k = 0; k < width; ++k) {
    const float centered = x[k] - mean;
    lanes[k % kLanes] = fma(centered, centered, lanes[k % kLanes]);
  }
  return 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(width) + eps);
}

}  // namespace

void layer_norm(const LayerNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    const float mean = mean_of(x, args.width);
    const float r = inverse_deviation(x, mean, args.width, args.eps);
    for (int64_t k = 0; k < args.width; ++k) {
      const float scaled = (x[k] - mean) * r;
      y[k] = args.bias == nullptr ? scaled * args.weight[k] : fma(scaled, args.weight[k], args.bias[k]);
    }
  }
}

}  // namespace honed::portable
