// activation(gate) * up for rows of [gate, up].
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

__m256 apply(Activation activation, __m256 gate, __m256 up) {
  return activation == Activation::silu ? silu_gate(gate, up) : gelu_tanh_gate(gate, up);
}

}  // namespace

void gated(const GatedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* gate = args.x + row * args.x_stride;
    const float* up = gate + args.width;
    float* y = args.y + row * args.y_stride;
    int64_t i = 0;
    for (; i + kVector <= args.width; i += kVector) {
      _mm256_storeu_ps(y + i, apply(args.activation, _mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    }
    if (i < args.width) {
      const int64_t left = args.width - i;
      store_first(y + i, left, apply(args.activation, load_first(gate + i, left), load_first(up + i, left)));
    }
  }
}

}  // namespace honed::avx2
