// Head norms, rotary embedding, and the write of k and v to the page of the token.
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

// Rounded to nearest even, in the low halves of the lanes; not a number becomes quiet.
__m256i bf16_from_f32(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

__m256i codes_from_f32(__m256 x, __m256 inverse) {
  __m256 value = _mm256_mul_ps(x, inverse);
  value = _mm256_min_ps(value, _mm256_set1_ps(127.0f));
  value = _mm256_max_ps(value, _mm256_set1_ps(-127.0f));
  return _mm256_cvtps_epi32(value);
}

float largest_magnitude(const float* x, int64_t head_dim) {
  __m256 largest = _mm256_setzero_ps();
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t left = head_dim - d;
    const __m256 value = load_first(x + d, left < kVector ? left : kVector);
    largest = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), value), largest);
  }
  return largest_lane(largest);
}

// One head of one token to its cells, `step` apart, by way of eight lanes: `lanes_of` gives what a cell is the low part
// of.
template <typename Cell, typename LanesOf>
void store_cells(const float* x, int64_t head_dim, Cell* cells, int64_t step, const LanesOf& lanes_of) {
  alignas(32) int32_t lanes[kVector];
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t left = head_dim - d;
    const int64_t count = left < kVector ? left : kVector;
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), lanes_of(load_first(x + d, count)));
    for (int64_t i = 0; i < count; ++i) cells[(d + i) * step] = static_cast<Cell>(lanes[i]);
  }
}

void store(const float* x, int64_t head_dim, float* cells, int64_t step, float*, int64_t) {
  for (int64_t d = 0; d < head_dim; ++d) cells[d * step] = x[d];
}

void store(const float* x, int64_t head_dim, uint16_t* cells, int64_t step, float*, int64_t) {
  store_cells(x, head_dim, cells, step, bf16_from_f32);
}

void store(const float* x, int64_t head_dim, int8_t* cells, int64_t step, float* scales, int64_t slot) {
  const float largest = largest_magnitude(x, head_dim);
  const __m256 inverse = _mm256_set1_ps(largest > 0.0f ? 127.0f / largest : 0.0f);
  store_cells(x, head_dim, cells, step, [&](__m256 value) { return codes_from_f32(value, inverse); });
  scales[slot] = largest / 127.0f;
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

}  // namespace honed::avx2
