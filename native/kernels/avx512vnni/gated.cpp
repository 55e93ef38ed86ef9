// Gated activation of rows that hold gates first and ups after them.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

void gated(const GatedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* gate = args.x + row * args.x_stride;
    const float* up = gate + args.width;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; i += kVector) {
      const __mmask16 valid = first_lanes(args.width - i);
      const __m512 g = _mm512_maskz_loadu_ps(valid, gate + i);
      const __m512 u = _mm512_maskz_loadu_ps(valid, up + i);
      _mm512_mask_storeu_ps(y + i, valid, args.activation == Activation::silu ? silu_gate(g, u) : gelu_tanh_gate(g, u));
    }
  }
}

}  // namespace honed::avx512vnni
