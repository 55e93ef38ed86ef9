// The paged KV cache as the contract has it, and the slot that writes it: rope_kv.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"
#include "tests/contract/rows.h"

namespace honed::contract {

// Sequences whose pages lie scattered in one cache.
struct Pages {
  int64_t sequences;
  int64_t per_table;
  Guarded<int32_t> tables;

  Pages(Random& random, int64_t sequence_count, int64_t pages_per_table)
      : sequences(sequence_count), per_table(pages_per_table), tables(sequence_count * pages_per_table) {
    for (int64_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<int32_t>(i);
    for (int64_t i = tables.size() - 1; i > 0; --i) std::swap(tables[i], tables[random.between(0, i)]);
  }
  int64_t count() const { return tables.size(); }
  int64_t page(int64_t sequence, int64_t key) const { return tables[sequence * per_table + key / 32]; }
};

inline constexpr KvType kKvTypes[] = {KvType::f32, KvType::bf16, KvType::int8};

inline const char* name_of(KvType type) {
  constexpr const char* kNames[] = {"f32", "bf16", "int8"};
  return kNames[static_cast<int>(type)];
}

// Keys and values of one layer, with gaps between heads and between pages. Whatever was not put there is 0xff, which
// as a float, as a bfloat16 and as a scale is not a number.
struct CellCache {
  KvType type;
  int64_t head_dim, together, scales_offset, head_bytes, page_bytes;
  Guarded<uint8_t> keys, values;

  CellCache(Random& random, KvType kv_type, int64_t pages, int64_t kv_heads, int64_t width)
      : type(kv_type),
        head_dim(width),
        together(type == KvType::f32 ? 1 : type == KvType::bf16 ? 2 : 4),
        scales_offset(round_up(width, together) * 32 * (4 / together)),
        head_bytes(used() + 32 * random.between(0, 2)),
        page_bytes(kv_heads * head_bytes + 32 * random.between(0, 2)),
        keys((pages - 1) * page_bytes + (kv_heads - 1) * head_bytes + used()),
        values(keys.size()) {
    for (Guarded<uint8_t>* half : {&keys, &values}) std::fill(half->data(), half->data() + half->size(), uint8_t{0xff});
  }

  int64_t used() const { return scales_offset + (type == KvType::int8 ? (head_dim + 31) / 32 * 32 * 4 : 0); }
  int64_t start(int64_t page, int64_t kv_head) const { return page * page_bytes + kv_head * head_bytes; }
  int64_t key_cell(int64_t slot, int64_t d) const {
    return (d / together * 32 + slot) * together + d % together;
  }
  int64_t value_cell(int64_t slot, int64_t d) const {
    return (slot / together * head_dim + d) * together + slot % together;
  }
  KvLayer layer() {
    return {reinterpret_cast<std::byte*>(keys.data()), reinterpret_cast<std::byte*>(values.data()), page_bytes,
            head_bytes, type};
  }

  void put_key(uint8_t* half, int64_t page, int64_t kv_head, int64_t slot, const float* x) const {
    put(half, page, kv_head, slot, x, &CellCache::key_cell, 32);
    if (type != KvType::bf16 || head_dim % 2 == 0) return;
    std::memset(half + start(page, kv_head) + key_cell(slot, head_dim) * 2, 0, 2);
  }
  void put_value(uint8_t* half, int64_t page, int64_t kv_head, int64_t slot, const float* x) const {
    put(half, page, kv_head, slot, x, &CellCache::value_cell, head_dim);
  }
  // Writes one token of a head to `half`, or to an image of it; `cell` is key_cell or value_cell.
  void put(uint8_t* half, int64_t page, int64_t kv_head, int64_t slot, const float* x,
           int64_t (CellCache::*cell)(int64_t, int64_t) const, int64_t group) const {
    uint8_t* base = half + start(page, kv_head);
    std::vector<int8_t> codes(static_cast<std::size_t>(head_dim));
    for (int64_t d = 0; type == KvType::int8 && d < head_dim; d += group) {
      const int64_t count = std::min(group, head_dim - d);
      const float scale = oracle_quantize(x + d, count, count, codes.data() + d);
      std::memcpy(base + scales_offset + (d / group * 32 + slot) * 4, &scale, 4);
    }
    for (int64_t d = 0; d < head_dim; ++d) {
      const int64_t i = (this->*cell)(slot, d);
      const uint16_t half_bits = oracle_bf16_bits(x[d]);
      if (type == KvType::f32) std::memcpy(base + i * 4, &x[d], 4);
      if (type == KvType::bf16) std::memcpy(base + i * 2, &half_bits, 2);
      if (type == KvType::int8) std::memcpy(base + i, &codes[static_cast<std::size_t>(d)], 1);
    }
  }

  // What the cell holds, before any scale.
  float cell_at(const Guarded<uint8_t>& half, int64_t page, int64_t kv_head, int64_t cell) const {
    const uint8_t* base = half.data() + start(page, kv_head);
    float wide;
    uint16_t narrow;
    if (type == KvType::int8) return static_cast<float>(static_cast<int8_t>(base[cell]));
    if (type == KvType::bf16) {
      std::memcpy(&narrow, base + cell * 2, 2);
      return oracle_bf16(narrow);
    }
    std::memcpy(&wide, base + cell * 4, 4);
    return wide;
  }
  float scale_at(const Guarded<uint8_t>& half, int64_t page, int64_t kv_head, int64_t slot, int64_t group = 0) const {
    float scale;
    std::memcpy(&scale, half.data() + start(page, kv_head) + scales_offset + (group * 32 + slot) * 4, 4);
    return scale;
  }
};

struct HeadShape {
  int64_t heads, kv_heads, head_dim;
};

inline constexpr HeadShape kHeadShapes[] = {{1, 1, 16}, {4, 4, 64}, {4, 2, 80},  {9, 3, 64}, {8, 2, 128},
                                            {7, 1, 64}, {5, 1, 16}, {6, 2, 128}, {3, 3, 80}, {2, 1, 24},
                                            {3, 1, 14}, {2, 2, 70}, {4, 2, 33}};

// ---- rope_kv -------------------------------------------------------------------------------------------------

inline void oracle_rotate(float* head, const float* cos, const float* sin, int64_t half, bool interleaved) {
  for (int64_t i = 0; i < half; ++i) {
    const int64_t first = interleaved ? 2 * i : i;
    const int64_t second = interleaved ? 2 * i + 1 : i + half;
    const float x1 = head[first];
    const float x2 = head[second];
    const float from_second = x2 * sin[i];
    const float from_first = x1 * sin[i];
    head[first] = std::fmaf(x1, cos[i], -from_second);
    head[second] = std::fmaf(x2, cos[i], from_first);
  }
}

inline void test_rope_kv_case(Check& check, const KernelTable& table, const HeadShape& shape, int64_t rotary_dim,
                              int norms, bool interleaved, KvType type, Values values) {
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  if (!check.begin("heads %lld kv %lld head_dim %lld rotary_dim %lld%s norms %d, %s cache, %s values",
                   static_cast<long long>(heads), static_cast<long long>(kv_heads), static_cast<long long>(head_dim),
                   static_cast<long long>(rotary_dim), interleaved ? " interleaved" : "", norms, name_of(type), name_of(values))) {
    return;
  }
  Random random(7000 + static_cast<uint64_t>(head_dim * 16 + heads * 4 + norms) + static_cast<uint64_t>(rotary_dim));
  const int64_t rows = random.between(1, 7);
  const Pages pages(random, 3, 4);
  const int64_t width = (heads + 2 * kv_heads) * head_dim;
  const int64_t half = rotary_dim / 2;
  const int64_t stride = width + random.between(0, 3);
  Guarded<float> qkv((rows - 1) * stride + width);
  random.fill(qkv, values);
  Guarded<float> cos(rows * half), sin(rows * half), q_norm(head_dim), k_norm(head_dim);
  for (int64_t i = 0; i < cos.size(); ++i) {
    const double angle = static_cast<double>(random.unit()) * 100.0;
    cos[i] = static_cast<float>(std::cos(angle));
    sin[i] = static_cast<float>(std::sin(angle));
  }
  random.fill(q_norm, Values::ordinary);
  random.fill(k_norm, Values::ordinary);
  Guarded<int32_t> positions(rows), sequences(rows);
  for (int64_t row = 0; row < rows; ++row) {  // distinct places, so that rows do not overwrite one another
    positions[row] = static_cast<int32_t>(row * 17 + random.between(0, 16));
    sequences[row] = static_cast<int32_t>(random.between(0, 2));
  }
  if (type == KvType::bf16) {  // what only rounding can get wrong: ties, and values that are not numbers
    constexpr uint32_t kHard[] = {0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7f7fffff, 0xff7f8000, 0x7f800001,
                                  0xffbfffff, 0x7f800000, 0x00008000, 0x80018000, 0x007fffff};
    for (int64_t row = 0; row < rows; ++row) {
      float* v = qkv.data() + row * stride + (heads + kv_heads) * head_dim;
      for (int64_t d = 0; d < head_dim; d += 2) std::memcpy(v + d, &kHard[random.between(0, 11)], 4);
    }
  }
  CellCache cache(random, type, pages.count(), kv_heads, head_dim);
  const int64_t begin = random.chance(3) ? random.between(0, rows - 1) : 0;
  const RopeKvArgs args{qkv.data(), stride, begin, rows, positions.data(), sequences.data(), pages.tables.data(),
                        pages.per_table, cos.data(), sin.data(), heads, kv_heads, head_dim, rotary_dim,
                        (norms & 1) != 0 ? q_norm.data() : nullptr, (norms & 2) != 0 ? k_norm.data() : nullptr, 1e-6f,
                        interleaved, cache.layer()};

  std::vector<float> want = qkv.image();
  std::vector<uint8_t> want_keys = cache.keys.image();
  std::vector<uint8_t> want_values = cache.values.image();
  for (int64_t row = begin; row < rows; ++row) {
    for (int64_t h = 0; h < heads + kv_heads; ++h) {
      float* head = want.data() + row * stride + h * head_dim;
      const float* norm = h < heads ? args.q_norm : args.k_norm;
      if (norm != nullptr) oracle_rms_norm(head, norm, head_dim, args.eps, head);
      oracle_rotate(head, cos.data() + row * half, sin.data() + row * half, half, interleaved);
    }
    const int64_t position = positions[row];
    for (int64_t h = 0; h < kv_heads; ++h) {
      const int64_t page = pages.page(sequences[row], position);
      const float* k = want.data() + row * stride + (heads + h) * head_dim;
      cache.put_key(want_keys.data(), page, h, position % 32, k);
      cache.put_value(want_values.data(), page, h, position % 32, k + kv_heads * head_dim);
    }
  }
  table.rope_kv(args);
  check.same("qkv", qkv, want, stride);
  check.same_bytes("keys", cache.keys, want_keys, cache.page_bytes);
  check.same_bytes("values", cache.values, want_values, cache.page_bytes);
}

inline void test_rope_kv(Check& check, const KernelTable& table) {
  for (const HeadShape& shape : kHeadShapes) {
    for (int norms = 0; norms < 4; ++norms) {
      for (const int64_t rotary_dim : {shape.head_dim, shape.head_dim / 2, shape.head_dim / 4 + 6}) {
        for (const KvType type : kKvTypes) {
          const Values values = kAllValues[(norms + rotary_dim + static_cast<int>(type)) % 5];
          for (const bool interleaved : {false, true}) {
            test_rope_kv_case(check, table, shape, rotary_dim / 2 * 2, norms, interleaved, type, values);
          }
        }
      }
    }
  }
}

}  // namespace honed::contract
