// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/neon/cells.h"
#include "kernels/neon/slots.h"

namespace honed::neon {
namespace {

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

// Calls store(d, codes, count) for the codes of up to four features from d on, in the bytes of `codes`; returns the
// scale.
template <typename Store>
float store_codes(const float* x, int64_t head_dim, const Store& store) {
  const float largest = largest_magnitude(x, head_dim);
  const float inverse = inverse_step<127>(largest);
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t left = head_dim - d;
    const int16x4_t words = vmovn_s32(codes_within<127>(load_first(x + d, left), inverse));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    store(d, vget_lane_u32(vreinterpret_u32_s8(bytes), 0), left < kVector ? left : kVector);
  }
  return largest / 127.0f;
}

template <typename Cell>
void write_head(const RopeKvArgs& args, int64_t page, int64_t slot, int64_t h, const float* k, const float* v) {
  const int64_t start = page * args.cache.page_bytes + h * args.cache.head_bytes;
  auto* keys = reinterpret_cast<Cell*>(args.cache.keys + start);
  auto* values = reinterpret_cast<Cell*>(args.cache.values + start);
  store(k, args.head_dim, keys + slot, kPageTokens);
  store(v, args.head_dim, values + slot * args.head_dim, 1);
}

template <>
void write_head<int8_t>(const RopeKvArgs& args, int64_t page, int64_t slot, int64_t h, const float* k, const float* v) {
  const int64_t start = page * args.cache.page_bytes + h * args.cache.head_bytes;
  auto* keys = reinterpret_cast<int8_t*>(args.cache.keys + start);
  auto* values = reinterpret_cast<int8_t*>(args.cache.values + start);
  float* scales = scales_of(keys, args.head_dim) + slot;
  for (int64_t group = 0; group < args.head_dim; group += kKeyGroup, scales += kPageTokens) {
    const int64_t features = args.head_dim - group < kKeyGroup ? args.head_dim - group : kKeyGroup;
    *scales = store_codes(k + group, features, [&](int64_t d, uint32_t codes, int64_t count) {
      int8_t* cells = keys + (group + d) * kPageTokens + slot * 4;
      if (count == 4) std::memcpy(cells, &codes, 4);
      else for (int64_t i = 0; i < count; ++i) cells[i] = static_cast<int8_t>(codes >> 8 * i);
    });
  }
  int8_t* of_token = values + slot / 4 * args.head_dim * 4 + slot % 4;
  scales_of(values, args.head_dim)[slot] =
      store_codes(v, args.head_dim, [&](int64_t d, uint32_t codes, int64_t count) {
        for (int64_t i = 0; i < count; ++i) of_token[(d + i) * 4] = static_cast<int8_t>(codes >> 8 * i);
      });
}

}  // namespace

void rope_kv(const RopeKvArgs& args) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    float* q = args.qkv + row * args.stride;
    float* k = q + args.heads * args.head_dim;
    const float* v = k + args.kv_heads * args.head_dim;
    const float* cos = args.cos + row * half;
    const float* sin = args.sin + row * half;
    for (int64_t h = 0; h < args.heads; ++h) prepare_head(q + h * args.head_dim, args.q_norm, cos, sin, args);
    const int64_t position = args.positions[row];
    const int64_t slot = position % kPageTokens;
    const int64_t page = args.page_tables[args.sequences[row] * args.pages_per_table + position / kPageTokens];
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      float* head = k + h * args.head_dim;
      prepare_head(head, args.k_norm, cos, sin, args);
      const float* value = v + h * args.head_dim;
      switch (args.cache.type) {
        case KvType::f32: write_head<float>(args, page, slot, h, head, value); break;
        case KvType::bf16: write_head<uint16_t>(args, page, slot, h, head, value); break;
        case KvType::int8: write_head<int8_t>(args, page, slot, h, head, value); break;
      }
    }
  }
}

}  // namespace honed::neon
