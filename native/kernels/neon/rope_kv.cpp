// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/neon/cells.h"
#include "kernels/neon/slots.h"
#include "kernels/paging/head.h"

namespace honed::neon {
namespace {

using paging::Place;

void normalize(float* head, const float* weight, int64_t head_dim, float eps) {
  float32x4_t lanes[kLaneVectors];
  for (float32x4_t& lane : lanes) lane = vdupq_n_f32(0.0f);
  for (int64_t d = 0; d < head_dim; d += kVector) {  // zeros behind the last leave their lanes as they are
    const float32x4_t value = load_first(head + d, head_dim - d);
    float32x4_t& lane = lanes[d / kVector % kLaneVectors];
    lane = vfmaq_f32(lane, value, value);
  }
  const float r = 1.0f / __builtin_sqrtf(fold_lanes(lanes) / static_cast<float>(head_dim) + eps);
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t count = head_dim - d;
    const float32x4_t value = vmulq_n_f32(load_first(head + d, count), r);
    store_first(head + d, count, vmulq_f32(value, load_first(weight + d, count)));
  }
}

void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kVector) {
    const int64_t count = half - i;
    const float32x4_t x1 = load_first(head + i, count);
    const float32x4_t x2 = load_first(head + half + i, count);
    const float32x4_t c = load_first(cos + i, count);
    const float32x4_t s = load_first(sin + i, count);
    store_first(head + i, count, vfmaq_f32(vnegq_f32(vmulq_f32(x2, s)), x1, c));
    store_first(head + half + i, count, vfmaq_f32(vmulq_f32(x1, s), x2, c));
  }
}

void prepare_head(float* head, const float* norm, const float* cos, const float* sin, const RopeKvArgs& args) {
  if (norm != nullptr) normalize(head, norm, args.head_dim, args.eps);
  rotate(head, cos, sin, args.rotary_dim / 2);
}

// Rounded to nearest even; not a number becomes quiet.
uint16x4_t bf16_from_f32(float32x4_t x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}

// One head of one token to its cells, `step` apart.
void store(const float* x, int64_t head_dim, float* cells, int64_t step) {
  for (int64_t d = 0; d < head_dim; ++d) cells[d * step] = x[d];
}

void store(const float* x, int64_t head_dim, uint16_t* cells, int64_t step) {
  for (int64_t d = 0; d < head_dim; d += kVector) {
    uint16_t lanes[kVector];
    vst1_u16(lanes, bf16_from_f32(load_first(x + d, head_dim - d)));
    for (int64_t i = 0; i < kVector && d + i < head_dim; ++i) cells[(d + i) * step] = lanes[i];
  }
}

// The codes of `count` features; returns their scale.
float quantize_features(const float* x, int64_t count, int8_t* codes) {
  const float largest = largest_magnitude(x, count);
  const float inverse = inverse_step<127>(largest);
  for (int64_t d = 0; d < count; d += kVector) {
    const int16x4_t words = vmovn_s32(codes_within<127>(load_first(x + d, count - d), inverse));
    const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
    std::memcpy(codes + d, &four, sizeof four);
  }
  return largest / 127.0f;
}

template <typename Cell>
void write_head(const Place<Cell>& place, const float* k, const float* v) {
  store(k, place.head_dim, place.keys + place.slot, kPageTokens);
  store(v, place.head_dim, place.values + place.slot * place.head_dim, 1);
}

void write_head(const Place<int8_t>& place, const float* k, const float* v) {
  paging::write_codes(place, k, v, quantize_features);
}

}  // namespace

void rope_kv(const RopeKvArgs& args) {
  const auto prepare = [&](float* head, const float* norm, const float* cos, const float* sin) {
    prepare_head(head, norm, cos, sin, args);
  };
  paging::rotate_and_write(args, prepare, [](const auto& place, const float* k, const float* v) {
    write_head(place, k, v);
  });
}

}  // namespace honed::neon
