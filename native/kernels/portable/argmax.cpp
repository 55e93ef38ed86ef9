// The greatest value of each row, one column after the other.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void argmax(const ArgmaxArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    Choice best{x[args.column_begin], static_cast<int32_t>(args.column_begin), 1};
    for (int64_t c = args.column_begin; c < args.column_end; ++c) {
      if (!(__builtin_fabsf(x[c]) < __builtin_inff())) best.all_finite = 0;
      if (x[c] > best.value) best = {x[c], static_cast<int32_t>(c), best.all_finite};
    }
    args.choices[row] = best;
  }
}

}  // namespace honed::portable
