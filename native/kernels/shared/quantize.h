// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#pragma once

#include <cstring>

#include "kernels/shared/codes.h"

namespace honed::shared {
namespace {

// Quantizes x[0, valid) and zero fills up to `length`; returns the scale.
template <FloatVector V>
inline float quantize_group(const float* x, int64_t valid, int64_t length, int8_t* q, int32_t* sums) {
  const float largest = largest_magnitude<V>(x, valid);
  const float inverse = inverse_step<127>(largest);
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    if (begin < valid) {
      sums[begin / kBlock] = encode_block<V>(x + begin, valid - begin, inverse, q + begin);
    } else {
      std::memset(q + begin, 0, kBlock);
      sums[begin / kBlock] = 0;
    }
  }
  return largest / 127.0f;
}

// A quantized row in the making.
struct QuantizedPlace {
  int8_t* codes;
  float* scales;
  int32_t* sums;

  QuantizedPlace(const QuantizeArgs& args, int64_t row) {
    char* start = static_cast<char*>(args.y) + row * args.y_row_bytes;
    codes = reinterpret_cast<int8_t*>(start);
    scales = reinterpret_cast<float*>(start + args.scales_offset);
    sums = reinterpret_cast<int32_t*>(start + args.sums_offset);
  }
};

template <FloatVector V>
void quantize(const QuantizeArgs& args) {
  const int64_t group = args.activation_group == 0 ? args.width_padded : args.activation_group;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    const QuantizedPlace y(args, row);
    for (int64_t begin = 0; begin < args.width_padded; begin += group) {
      const int64_t left = args.width > begin ? args.width - begin : 0;
      const int64_t valid = left < group ? left : group;
      y.scales[begin / group] = quantize_group<V>(x + begin, valid, group, y.codes + begin, y.sums + begin / kBlock);
    }
  }
}

}  // namespace
}  // namespace honed::shared
