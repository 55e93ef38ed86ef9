// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include <cstring>

#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  int64_t i = 0;
  for (; i + kVector <= half; i += kVector) {
    const __m256 x1 = _mm256_loadu_ps(head + i);
    const __m256 x2 = _mm256_loadu_ps(head + half + i);
    const __m256 c = _mm256_loadu_ps(cos + i);
    const __m256 s = _mm256_loadu_ps(sin + i);
    _mm256_storeu_ps(head + i, _mm256_fmsub_ps(x1, c, _mm256_mul_ps(x2, s)));
    _mm256_storeu_ps(head + half + i, _mm256_fmadd_ps(x2, c, _mm256_mul_ps(x1, s)));
  }
  for (; i < half; ++i) {
    const float x1 = head[i];
    const float x2 = head[half + i];
    head[i] = fma(x1, cos[i], -(x2 * sin[i]));
    head[half + i] = fma(x2, cos[i], x1 * sin[i]);
  }
}

void prepare_head(float* head, const float* norm, const float* cos, const float* sin, const RopeKvArgs& args) {
  if (norm != nullptr) scale_row(head, inverse_rms(head, args.head_dim, args.eps), norm, args.head_dim, head);
  rotate(head, cos, sin, args.rotary_dim / 2);
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
      const int64_t page_start = (page * args.kv_heads + h) * args.head_dim * kPageTokens;
      float* keys = args.cache.keys + page_start + slot;
      for (int64_t d = 0; d < args.head_dim; ++d) keys[d * kPageTokens] = head[d];
      std::memcpy(args.cache.values + page_start + slot * args.head_dim, v + h * args.head_dim,
                  static_cast<size_t>(args.head_dim) * sizeof(float));
    }
  }
}

}  // namespace honed::avx2
