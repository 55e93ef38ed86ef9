// y = x * factor.
#include "kernels/portable/slots.h"

namespace honed::portable {

void scale(const ScaleArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; ++i) y[i] = x[i] * args.factor;
  }
}

}  // namespace honed::portable
