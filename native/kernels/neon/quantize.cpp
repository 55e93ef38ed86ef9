// Activation rows to int8, symmetric, with one scale a row or one a group, and sums of each block of 32.
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

float largest_magnitude(const float* x, int64_t count) {
  float32x4_t largest = vdupq_n_f32(0.0f);
  for (int64_t i = 0; i < count; i += kVector) largest = vmaxq_f32(largest, vabsq_f32(load_first(x + i, count - i)));
  return vmaxvq_f32(largest);
}

int16x4_t quantize_vector(const float* x, float inverse) {
  float32x4_t value = vmulq_n_f32(vld1q_f32(x), inverse);
  // The numeric minimum sends 0 * infinity (a group of denormals) to 127, as portable does.
  value = vminnmq_f32(value, vdupq_n_f32(127.0f));
  value = vmaxnmq_f32(value, vdupq_n_f32(-127.0f));
  return vmovn_s32(vcvtnq_s32_f32(value));
}

int8x16_t quantize_sixteen(const float* x, float inverse) {
  const int16x8_t low = vcombine_s16(quantize_vector(x, inverse), quantize_vector(x + kVector, inverse));
  const int16x8_t high =
      vcombine_s16(quantize_vector(x + 2 * kVector, inverse), quantize_vector(x + 3 * kVector, inverse));
  return vcombine_s8(vmovn_s16(low), vmovn_s16(high));
}

void quantize_block(const float* x, float inverse, int8_t* q) {
  vst1q_s8(q, quantize_sixteen(x, inverse));
  vst1q_s8(q + kBlock / 2, quantize_sixteen(x + kBlock / 2, inverse));
}

// A block of which only `valid` are real, fewer than 32 and possibly none.
void quantize_last_block(const float* x, int64_t valid, float inverse, int8_t* q) {
  float padded[kBlock] = {};
  for (int64_t i = 0; i < valid; ++i) padded[i] = x[i];
  quantize_block(padded, inverse, q);
  // Zeroed afterwards: with an infinite inverse padding would not become zero.
  for (int64_t i = valid; i < kBlock; ++i) q[i] = 0;
}

// Quantizes x[0, valid) and zero fills up to `length`; returns the scale.
float quantize_group(const float* x, int64_t valid, int64_t length, int8_t* q, int32_t* sums) {
  const float largest = largest_magnitude(x, valid);
  const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    const int64_t left = valid - begin;
    if (left >= kBlock) {
      quantize_block(x + begin, inverse, q + begin);
    } else {
      quantize_last_block(x + begin, left > 0 ? left : 0, inverse, q + begin);
    }
    sums[begin / kBlock] = vaddlvq_s8(vld1q_s8(q + begin)) + vaddlvq_s8(vld1q_s8(q + begin + kBlock / 2));
  }
  return largest / 127.0f;
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
      scales[begin / group] = quantize_group(x + begin, valid, group, q + begin, sums + begin / kBlock);
    }
  }
}

}  // namespace honed::neon
