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

float cell_of(float value, float) { return value; }
uint16_t cell_of(float value, uint16_t) { return bf16_from_f32(value); }

// Key and value of one head of a token.
template <typename Cell>
void write_head(const RopeKvArgs& args, int64_t page, int64_t slot, int64_t h, const float* k, const float* v) {
  const int64_t start = page * args.cache.page_bytes + h * args.cache.head_bytes;
  auto* keys = reinterpret_cast<Cell*>(args.cache.keys + start);
  auto* values = reinterpret_cast<Cell*>(args.cache.values + start);
  for (int64_t d = 0; d < args.head_dim; ++d) {
    keys[key_cell<Cell>(slot, d)] = cell_of(k[d], Cell{});
    values[value_cell<Cell>(slot, d, args.head_dim)] = cell_of(v[d], Cell{});
  }
}

template <>
void write_head<int8_t>(const RopeKvArgs& args, int64_t page, int64_t slot, int64_t h, const float* k, const float* v) {
  const int64_t start = page * args.cache.page_bytes + h * args.cache.head_bytes;
  auto* keys = reinterpret_cast<int8_t*>(args.cache.keys + start);
  auto* values = reinterpret_cast<int8_t*>(args.cache.values + start);
  int8_t key_codes[kMostInt8HeadDim];
  int8_t value_codes[kMostInt8HeadDim];
  for (int64_t group = 0; group < key_groups(args.head_dim); ++group) {
    const int64_t first = group * kKeyGroup;
    const int64_t count = args.head_dim - first < kKeyGroup ? args.head_dim - first : kKeyGroup;
    scales_of(keys, args.head_dim)[group * kPageTokens + slot] = codes_within<127>(k + first, count, key_codes + first);
  }
  scales_of(values, args.head_dim)[slot] = codes_within<127>(v, args.head_dim, value_codes);
  for (int64_t d = 0; d < args.head_dim; ++d) {
    keys[key_cell<int8_t>(slot, d)] = key_codes[d];
    values[value_cell<int8_t>(slot, d, args.head_dim)] = value_codes[d];
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
      with_cell(args.cache.type, [&]<typename Cell>(Cell*) {
        write_head<Cell>(args, page, slot, h, head, v + h * args.head_dim);
      });
    }
  }
}

}  // namespace honed::portable
