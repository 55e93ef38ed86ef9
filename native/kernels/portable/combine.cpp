// What the experts of a row gave, by their weights.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {

void combine(const CombineArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const int32_t* places = args.places + row * args.routing_stride;
    const float* weights = args.weights + row * args.routing_stride;
    float* y = args.y + row * args.y_stride;
    for (int64_t i = 0; i < args.width; ++i) {
      float sum = weights[0] * args.x[places[0] * args.x_stride + i];
      for (int64_t j = 1; j < args.chosen; ++j) sum = fma(weights[j], args.x[places[j] * args.x_stride + i], sum);
      y[i] = args.add ? y[i] + sum : sum;
    }
  }
}

}  // namespace honed::portable
