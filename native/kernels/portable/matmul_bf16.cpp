// Dense bf16 weights, widened to f32: one chain of fma over k for each column.
#include "kernels/portable/epilogue.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void matmul_bf16(const MatmulArgs& args) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    const char* bytes = static_cast<const char*>(args.panels) + panel * args.panel_bytes;
    const uint16_t* weights = reinterpret_cast<const uint16_t*>(bytes);
    for (int64_t row = args.row_begin; row < args.row_end; ++row) {
      const char* x_bytes = static_cast<const char*>(args.x) + row * args.x_row_bytes;
      const float* x = reinterpret_cast<const float*>(x_bytes);
      float result[kPanelColumns] = {};
      for (int64_t k = 0; k < args.k; ++k) {
        for (int c = 0; c < kPanelColumns; ++c) {
          result[c] = fma(x[k], bf16_to_f32(weights[k * kPanelColumns + c]), result[c]);
        }
      }
      finish_panel(args, row, panel, result);
    }
  }
}

}  // namespace honed::portable
