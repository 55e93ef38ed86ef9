// RMSNorm of whole rows.
#include "kernels/avx512vnni/rms.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {

void rms_norm(const RmsNormArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    const float factor = inverse_rms(x, args.width, args.eps);
    scale_row(x, factor, args.weight, args.width, args.y + row * args.y_stride);
  }
}

}  // namespace honed::avx512vnni
