// An activation of whole rows.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void activate(const ActivateArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; ++i) y[i] = activate(args.activation, x[i]);
  }
}

}  // namespace honed::portable
