// y = y + x.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {

void add(const AddArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    float* y = args.y + row * args.y_stride;
    int64_t i = 0;
    for (; i + kVector <= args.width; i += kVector) {
      _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    }
    for (; i < args.width; ++i) y[i] = y[i] + x[i];
  }
}

}  // namespace honed::avx2
