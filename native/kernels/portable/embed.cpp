// Embedding rows, widened to f32.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void embed(const EmbedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int64_t first = static_cast<int64_t>(args.tokens[row]) * args.width;
    float* y = args.y + row * args.y_stride;
    if (args.type == TableType::f32) {
      std::memcpy(y, static_cast<const float*>(args.table) + first, static_cast<size_t>(args.width) * sizeof(float));
      continue;
    }
    const uint16_t* source = static_cast<const uint16_t*>(args.table) + first;
    if (args.type == TableType::bf16) {
      for (int64_t i = 0; i < args.width; ++i) y[i] = bf16_to_f32(source[i]);
    } else {
      for (int64_t i = 0; i < args.width; ++i) y[i] = f16_to_f32(source[i]);
    }
  }
}

}  // namespace honed::portable
