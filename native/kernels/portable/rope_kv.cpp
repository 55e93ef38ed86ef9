// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/portable/cells.h"
#include "kernels/portable/slots.h"

namespace honed::portable {
namespace {

void normalize(float* head, const float* weight, int64_t head_dim, float eps) {
  const float r = inverse_rms(head, head_dim, eps);
  for (int64_t d = 0; d < head_dim; ++d) head[d] = (head[d] * r) * weight[d];
}

void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float x1 = head[i];
    const float x2 = head[half + i];
    head[i] = fma(x1, cos[i], -(x2 * sin[i]));
    head[half + i] = fma(x2, cos[i], x1 * sin[i]);
  }
}

// The codes of QuantizeArgs, `step` cells apart; returns the scale.
float quantize_head(const float* x, int64_t head_dim, int8_t* codes, int64_t step) {
  float largest = 0.0f;
  for (int64_t d = 0; d < head_dim; ++d) {
    const float magnitude = __builtin_fabsf(x[d]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  for (int64_t d = 0; d < head_dim; ++d) {
    float value = x[d] * inverse;
    value = value < 127.0f ? value : 127.0f;
    value = value > -127.0f ? value : -127.0f;
    codes[d * step] = static_cast<int8_t>(round_to_even(value));
  }
  return largest / 127.0f;
}

// One head of one token to its cells, `step` apart; `scales` are those of the page.
void store(const float* x, int64_t head_dim, float* cells, int64_t step, float*, int64_t) {
  for (int64_t d = 0; d < head_dim; ++d) cells[d * step] = x[d];
}

void store(const float* x, int64_t head_dim, uint16_t* cells, int64_t step, float*, int64_t) {
  for (int64_t d = 0; d < head_dim; ++d) cells[d * step] = bf16_from_f32(x[d]);
}

void store(const float* x, int64_t head_dim, int8_t* cells, int64_t step, float* scales, int64_t slot) {
  scales[slot] = quantize_head(x, head_dim, cells, step);
}

template <typename Cell>
void write_head(const RopeKvArgs& args, int64_t page, int64_t slot, int64_t h, const float* k, const float* v) {
  const int64_t start = page * args.cache.page_bytes + h * args.cache.head_bytes;
  const int64_t cells = args.head_dim * kPageTokens;
  auto* keys = reinterpret_cast<Cell*>(args.cache.keys + start);
  auto* values = reinterpret_cast<Cell*>(args.cache.values + start);
  store(k, args.head_dim, keys + slot, kPageTokens, reinterpret_cast<float*>(keys + cells), slot);
  store(v, args.head_dim, values + slot * args.head_dim, 1, reinterpret_cast<float*>(values + cells), slot);
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
    for (int64_t h = 0; h < args.heads; ++h) {
      if (args.q_norm != nullptr) normalize(q + h * args.head_dim, args.q_norm, args.head_dim, args.eps);
      rotate(q + h * args.head_dim, cos, sin, half);
    }
    const int64_t position = args.positions[row];
    const int64_t slot = position % kPageTokens;
    const int64_t page = args.page_tables[args.sequences[row] * args.pages_per_table + position / kPageTokens];
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      float* head = k + h * args.head_dim;
      if (args.k_norm != nullptr) normalize(head, args.k_norm, args.head_dim, args.eps);
      rotate(head, cos, sin, half);
      with_cell(args.cache.type, [&]<typename Cell>(Cell*) {
        write_head<Cell>(args, page, slot, h, head, v + h * args.head_dim);
      });
    }
  }
}

}  // namespace honed::portable
