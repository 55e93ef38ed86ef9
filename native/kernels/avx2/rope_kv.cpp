// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/avx2/cells.h"
#include "kernels/avx2/slots.h"
#include "kernels/paging/head.h"

namespace honed::avx2 {
namespace {

using paging::Place;

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

// The codes of `count` features; returns their scale.
float quantize_features(const float* x, int64_t count, int8_t* codes) {
  const float largest = largest_magnitude(x, count);
  const __m256 inverse = inverse_step<127>(largest);
  for (int64_t d = 0; d < count; d += kVector) {
    const __m256i lanes = codes_within<127>(load_first(x + d, count - d), inverse);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + d), _mm_packs_epi16(words, words));
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

}  // namespace honed::avx2
