// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#include "kernels/portable/scalar.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

// Quantizes x[0, valid) and zero fills up to `length`; returns the scale.
float quantize_group(const float* x, int64_t valid, int64_t length, int8_t* q) {
  const float scale = codes_within<127>(x, valid, q);
  for (int64_t i = valid; i < length; ++i) q[i] = 0;
  return scale;
}

}  // namespace

void quantize(const QuantizeArgs& args) {
  const int64_t group = args.activation_group == 0 ? args.width_padded : args.activation_group;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    char* y = static_cast<char*>(args.y) + row * args.y_row_bytes;
    int8_t* q = reinterpret_cast<int8_t*>(y);
    float* scales = reinterpret_cast<float*>(y + args.scales_offset);
    int32_t* sums = reinterpret_cast<int32_t*>(y + args.sums_offset);
    for (int64_t begin = 0; begin < args.width_padded; begin += group) {
      const int64_t left = args.width > begin ? args.width - begin : 0;
      const int64_t valid = left < group ? left : group;
      scales[begin / group] = quantize_group(x + begin, valid, group, q + begin);
    }
    for (int64_t block = 0; block < args.width_padded / kBlock; ++block) {
      int32_t sum = 0;
      for (int i = 0; i < kBlock; ++i) sum += q[block * kBlock + i];
      sums[block] = sum;
    }
  }
}

}  // namespace honed::portable
