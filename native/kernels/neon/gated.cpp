// Gated activation of rows that hold gates first and ups after them.
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {

void gated(const GatedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* gate = args.x + row * args.x_stride;
    const float* up = gate + args.width;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; i += kVector) {
      const int64_t left = args.width - i;
      const float32x4_t g = load_first(gate + i, left);
      const float32x4_t u = load_first(up + i, left);
      store_first(y + i, left, args.activation == Activation::silu ? silu_gate(g, u) : gelu_tanh_gate(g, u));
    }
  }
}

}  // namespace honed::neon
