// RMSNorm of whole rows.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {
namespace {

// The factor 1 / rms(x). Lane j of the one register is lane j of the contract; zeros past the width change nothing.
float inverse_rms(const float* x, int64_t width, float eps) {
  __m512 lanes = _mm512_setzero_ps();
  for (int64_t k = 0; k < width; k += kVector) {
    const __m512 value = _mm512_maskz_loadu_ps(first_lanes(width - k), x + k);
    lanes = _mm512_fmadd_ps(value, value, lanes);
  }
  return 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(width) + eps);
}

}  // namespace

void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    const __m512 factor = _mm512_set1_ps(inverse_rms(x, args.width, args.eps));
    for (int64_t k = 0; k < args.width; k += kVector) {
      const __mmask16 valid = first_lanes(args.width - k);
      const __m512 value = _mm512_mul_ps(_mm512_maskz_loadu_ps(valid, x + k), factor);
      _mm512_mask_storeu_ps(y + k, valid, _mm512_mul_ps(value, _mm512_maskz_loadu_ps(valid, args.weight + k)));
    }
  }
}

}  // namespace honed::avx512vnni
