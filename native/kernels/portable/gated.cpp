// Gates of rows of [gate, up].
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void gated(const GatedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* gate = args.x + row * args.x_stride;
    const float* up = gate + args.width;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; ++i) y[i] = gated(args.gate, gate[i], up[i]);
  }
}

}  // namespace honed::portable
