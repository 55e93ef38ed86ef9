// RMSNorm of whole rows.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {

void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    const float r = inverse_rms(x, args.width, args.eps);
    scale_row(x, r, args.weight, args.width, args.y + row * args.y_stride);
  }
}

}  // namespace honed::avx2
