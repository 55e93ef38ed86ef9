// Head norms, rotary embedding, and the write of k and v to the page of the token.
#include "kernels/avx512vnni/codes.h"
#include "kernels/avx512vnni/rms.h"
#include "kernels/avx512vnni/slots.h"

namespace honed::avx512vnni {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kQuad = 4;

void rotate(float* head, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kVector) {
    const __mmask16 lanes = first_lanes(half - i);
    const __m512 x1 = _mm512_maskz_loadu_ps(lanes, head + i);
    const __m512 x2 = _mm512_maskz_loadu_ps(lanes, head + half + i);
    const __m512 c = _mm512_maskz_loadu_ps(lanes, cos + i);
    const __m512 s = _mm512_maskz_loadu_ps(lanes, sin + i);
    _mm512_mask_storeu_ps(head + i, lanes, _mm512_fmsub_ps(x1, c, _mm512_mul_ps(x2, s)));
    _mm512_mask_storeu_ps(head + half + i, lanes, _mm512_fmadd_ps(x2, c, _mm512_mul_ps(x1, s)));
  }
}

void prepare_head(float* head, const float* norm, const float* cos, const float* sin, const RopeKvArgs& args) {
  if (norm != nullptr) scale_row(head, inverse_rms(head, args.head_dim, args.eps), norm, args.head_dim, head);
  rotate(head, cos, sin, args.rotary_dim / 2);
}

// Rounded to nearest even; not a number becomes quiet.
__m256i bf16_from_f32(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i chosen = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
}

// Where one head of a token lies in its page: `slot` is that of the token.
template <typename Cell>
struct Place {
  Cell* keys;
  Cell* values;
  int64_t slot;
  int64_t head_dim;

  Place(const RopeKvArgs& args, int64_t row, int64_t head) : head_dim(args.head_dim) {
    const int64_t position = args.positions[row];
    const int64_t page = args.page_tables[args.sequences[row] * args.pages_per_table + position / kPageTokens];
    const int64_t start = page * args.cache.page_bytes + head * args.cache.head_bytes;
    slot = position % kPageTokens;
    keys = reinterpret_cast<Cell*>(args.cache.keys + start);
    values = reinterpret_cast<Cell*>(args.cache.values + start);
  }
  float* scales(Cell* cells) const {
    return reinterpret_cast<float*>(cells + int8_scales_offset(head_dim)) + slot;
  }
  // The keys of a token lie on as many lines as there are features, or quads of them, and none was touched lately.
  void prefetch() const {
    constexpr int64_t kStep = sizeof(Cell) == 1 ? kQuad : 1;
    for (int64_t d = 0; d < head_dim; d += kStep) __builtin_prefetch(keys + d * kPageTokens + slot * kStep, 1);
    const int64_t bytes = head_dim * static_cast<int64_t>(sizeof(Cell));
    const char* value = reinterpret_cast<const char*>(values) + slot * bytes;
    if constexpr (sizeof(Cell) == 1) value = reinterpret_cast<const char*>(values + slot / kQuad * kQuad * head_dim);
    for (int64_t byte = 0; byte < (sizeof(Cell) == 1 ? kQuad : 1) * bytes; byte += kLine) {
      __builtin_prefetch(value + byte, 1);
    }
  }
};

void write_head(const Place<float>& place, const float* k, const float* v) {
  for (int64_t d = 0; d < place.head_dim; ++d) place.keys[d * kPageTokens + place.slot] = k[d];
  std::memcpy(place.values + place.slot * place.head_dim, v, static_cast<std::size_t>(place.head_dim) * sizeof(float));
}

void write_head(const Place<uint16_t>& place, const float* k, const float* v) {
  for (int64_t d = 0; d < place.head_dim; d += kVector) {
    const __mmask16 lanes = first_lanes(place.head_dim - d);
    alignas(32) uint16_t cells[kVector];
    _mm256_store_si256(reinterpret_cast<__m256i*>(cells), bf16_from_f32(_mm512_maskz_loadu_ps(lanes, k + d)));
    for (int64_t i = 0; i < kVector && d + i < place.head_dim; ++i) {
      place.keys[(d + i) * kPageTokens + place.slot] = cells[i];
    }
    uint16_t* value = place.values + place.slot * place.head_dim + d;
    _mm256_mask_storeu_epi16(value, lanes, bf16_from_f32(_mm512_maskz_loadu_ps(lanes, v + d)));
  }
}

// The codes of features of one scale, one after the other and zeros behind them up to sixteen; returns the scale.
float quantize_features(const float* x, int64_t count, int8_t* codes) {
  const float largest = largest_magnitude(x, count);
  const __m512 inverse = _mm512_set1_ps(largest > 0.0f ? 127.0f / largest : 0.0f);
  for (int64_t d = 0; d < count; d += kVector) {
    const __m512i lanes = codes_of(x + d, count - d, inverse, 127.0f);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + d), _mm512_cvtepi32_epi8(lanes));
  }
  return largest / 127.0f;
}

void write_head(const Place<int8_t>& place, const float* k, const float* v) {
  int8_t codes[kMostInt8HeadDim];
  for (int64_t group = 0; group < key_groups(place.head_dim); ++group) {
    const int64_t first = group * kKeyGroup;
    const int64_t count = place.head_dim - first < kKeyGroup ? place.head_dim - first : kKeyGroup;
    place.scales(place.keys)[group * kPageTokens] = quantize_features(k + first, count, codes + first);
  }
  const int64_t whole = place.head_dim / kQuad * kQuad;
  int8_t* keys = place.keys + place.slot * kQuad;
  for (int64_t d = 0; d < whole; d += kQuad) std::memcpy(keys + d * kPageTokens, codes + d, kQuad);
  for (int64_t d = whole; d < place.head_dim; ++d) keys[whole * kPageTokens + d - whole] = codes[d];
  *place.scales(place.values) = quantize_features(v, place.head_dim, codes);
  int8_t* values = place.values + place.slot / kQuad * kQuad * place.head_dim + place.slot % kQuad;
  for (int64_t d = 0; d < place.head_dim; ++d) values[d * kQuad] = codes[d];
}

template <typename Cell>
void rotate_and_write(const RopeKvArgs& args) {
  const int64_t half = args.rotary_dim / 2;
  const auto prefetch = [&](int64_t row) {
    const bool follows = row > args.row_begin && args.sequences[row] == args.sequences[row - 1];
    if (follows && args.positions[row] % kPageTokens != 0) return;  // on the lines of the row before
    for (int64_t h = 0; h < args.kv_heads; ++h) Place<Cell>(args, row, h).prefetch();
  };
  if (args.row_begin < args.row_end) prefetch(args.row_begin);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    if (row + 1 < args.row_end) prefetch(row + 1);
    float* q = args.qkv + row * args.stride;
    float* k = q + args.heads * args.head_dim;
    const float* v = k + args.kv_heads * args.head_dim;
    const float* cos = args.cos + row * half;
    const float* sin = args.sin + row * half;
    for (int64_t h = 0; h < args.heads; ++h) prepare_head(q + h * args.head_dim, args.q_norm, cos, sin, args);
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      float* head = k + h * args.head_dim;
      prepare_head(head, args.k_norm, cos, sin, args);
      write_head(Place<Cell>(args, row, h), head, v + h * args.head_dim);
    }
  }
}

}  // namespace

void rope_kv(const RopeKvArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return rotate_and_write<float>(args);
    case KvType::bf16: return rotate_and_write<uint16_t>(args);
    case KvType::int8: return rotate_and_write<int8_t>(args);
  }
}

}  // namespace honed::avx512vnni
