// RMSNorm of whole rows.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    const float r = inverse_rms(x, args.width, args.eps);
    for (int64_t k = 0; k < args.width; ++k) y[k] = (x[k] * r) * args.weight[k];
  }
}

}  // namespace honed::portable
