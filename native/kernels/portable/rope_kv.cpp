// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/portable/scalar.h"
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
      const int64_t page_start = (page * args.kv_heads + h) * args.head_dim * kPageTokens;
      for (int64_t d = 0; d < args.head_dim; ++d) {
        args.cache.keys[page_start + d * kPageTokens + slot] = head[d];
        args.cache.values[page_start + slot * args.head_dim + d] = v[h * args.head_dim + d];
      }
    }
  }
}

}  // namespace honed::portable
