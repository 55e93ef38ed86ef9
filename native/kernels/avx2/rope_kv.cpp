// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/avx2/cells.h"
#include "kernels/avx2/slots.h"

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

// One head of one token to its cells, `step` apart.
void store(const float* x, int64_t head_dim, float* cells, int64_t step) {
  for (int64_t d = 0; d < head_dim; ++d) cells[d * step] = x[d];
}

void store(const float* x, int64_t head_dim, uint16_t* cells, int64_t step) {
  alignas(32) int32_t lanes[kVector];
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t left = head_dim - d;
    const int64_t count = left < kVector ? left : kVector;
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), bf16_from_f32(load_first(x + d, count)));
    for (int64_t i = 0; i < count; ++i) cells[(d + i) * step] = static_cast<uint16_t>(lanes[i]);
  }
}

// Calls store(d, codes, count) for the codes of up to eight features from d on, in the bytes of `codes`; returns the
// scale.
template <typename Store>
float store_codes(const float* x, int64_t head_dim, const Store& store) {
  const float largest = largest_magnitude(x, head_dim);
  const __m256 inverse = inverse_step<127>(largest);
  for (int64_t d = 0; d < head_dim; d += kVector) {
    const int64_t left = head_dim - d;
    const __m256i lanes = codes_within<127>(load_first(x + d, left), inverse);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    const auto codes = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packs_epi16(words, words)));
    store(d, codes, left < kVector ? left : kVector);
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
    *scales = store_codes(k + group, features, [&](int64_t d, uint64_t codes, int64_t count) {
      for (; count > 0; d += 4, codes >>= 32, count -= 4) {
        int8_t* cells = keys + (group + d) * kPageTokens + slot * 4;
        if (count >= 4) std::memcpy(cells, &codes, 4);
        else for (int64_t i = 0; i < count; ++i) cells[i] = static_cast<int8_t>(codes >> 8 * i);
      }
    });
  }
  int8_t* of_token = values + slot / 4 * args.head_dim * 4 + slot % 4;
  scales_of(values, args.head_dim)[slot] =
      store_codes(v, args.head_dim, [&](int64_t d, uint64_t codes, int64_t count) {
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

}  // namespace honed::avx2
