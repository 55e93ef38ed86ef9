// Where one head of a token lies in the page of its sequence, and the walk over the heads that are rotated and written
// there. The same on every instruction set; all of it is local to the unit that includes it.
#pragma once

#include <cstring>

#include "cpu/kernel_table.h"

namespace honed::paging {
namespace {

// The scales of an int8 head of a page.
inline const float* scales_of(const int8_t* cells, int64_t head_dim) {
  return reinterpret_cast<const float*>(cells + int8_scales_offset(head_dim));
}
inline float* scales_of(int8_t* cells, int64_t head_dim) {
  return reinterpret_cast<float*>(cells + int8_scales_offset(head_dim));
}

// The keys and values of a head in its page, and the slot of the token there.
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
};

// Key and value of a head to an int8 cache. quantize(x, count, codes) returns the scale and writes the codes one after
// the other, and past them anything up to a multiple of kBlock.
template <typename Quantize>
void write_codes(const Place<int8_t>& place, const float* k, const float* v, const Quantize& quantize) {
  const int64_t head_dim = place.head_dim;
  int8_t codes[kMostInt8HeadDim];
  float* key_scales = scales_of(place.keys, head_dim) + place.slot;
  for (int64_t first = 0; first < head_dim; first += kKeyGroup, key_scales += kPageTokens) {
    const int64_t left = head_dim - first;
    *key_scales = quantize(k + first, left < kKeyGroup ? left : kKeyGroup, codes + first);
  }
  int8_t* keys = place.keys + place.slot * 4;
  const int64_t whole = head_dim / 4 * 4;
  for (int64_t d = 0; d < whole; d += 4) std::memcpy(keys + d * kPageTokens, codes + d, 4);
  for (int64_t d = whole; d < head_dim; ++d) keys[whole * kPageTokens + d - whole] = codes[d];
  scales_of(place.values, head_dim)[place.slot] = quantize(v, head_dim, codes);
  int8_t* values = place.values + place.slot / 4 * 4 * head_dim + place.slot % 4;
  for (int64_t d = 0; d < head_dim; ++d) values[d * 4] = codes[d];
}

// Of every row prepare(head, norm, cos, sin) for each head of q and k, and write(place, k, v) for each kv head.
template <typename Cell, typename Prepare, typename Write>
void rotate_and_write(const RopeKvArgs& args, const Prepare& prepare, const Write& write) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    float* q = args.qkv + row * args.stride;
    float* k = q + args.heads * args.head_dim;
    const float* v = k + args.kv_heads * args.head_dim;
    const float* cos = args.cos + row * half;
    const float* sin = args.sin + row * half;
    for (int64_t h = 0; h < args.heads; ++h) prepare(q + h * args.head_dim, args.q_norm, cos, sin);
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      float* head = k + h * args.head_dim;
      prepare(head, args.k_norm, cos, sin);
      write(Place<Cell>(args, row, h), head, v + h * args.head_dim);
    }
  }
}

// The same for whichever type of cells the cache has.
template <typename Prepare, typename Write>
void rotate_and_write(const RopeKvArgs& args, const Prepare& prepare, const Write& write) {
  switch (args.cache.type) {
    case KvType::f32: return rotate_and_write<float>(args, prepare, write);
    case KvType::bf16: return rotate_and_write<uint16_t>(args, prepare, write);
    case KvType::int8: return rotate_and_write<int8_t>(args, prepare, write);
  }
}

}  // namespace
}  // namespace honed::paging
