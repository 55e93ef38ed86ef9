// RMSNorm of whole rows.
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

// The factor 1 / rms(x). Zeros past the width leave their lanes as they are.
float inverse_rms(const float* x, int64_t width, float eps) {
  float32x4_t lanes[kLaneVectors];
  for (float32x4_t& lane : lanes) lane = vdupq_n_f32(0.0f);
  for (int64_t k = 0; k < width; k += kLanes) {
    for (int v = 0; v < kLaneVectors; ++v) {
      const int64_t left = width - k - v * kVector;
      if (left <= 0) break;
      const float32x4_t value = load_first(x + k + v * kVector, left);
      lanes[v] = vfmaq_f32(lanes[v], value, value);
    }
  }
  return 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(width) + eps);
}

}  // namespace

void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    const float32x4_t factor = vdupq_n_f32(inverse_rms(x, args.width, args.eps));
    for (int64_t k = 0; k < args.width; k += kVector) {
      const int64_t left = args.width - k;
      const float32x4_t value = vmulq_f32(load_first(x + k, left), factor);
      store_first(y + k, left, vmulq_f32(value, load_first(args.weight + k, left)));
    }
  }
}

}  // namespace honed::neon
