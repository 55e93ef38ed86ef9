// The cells of the KV cache: how a value is stored and read back. Everything is static, as in scalar.h.
#pragma once

#include "kernels/portable/scalar.h"

namespace honed::portable {

static inline float widen(float cell) { return cell; }
static inline float widen(uint16_t cell) { return bf16_to_f32(cell); }

static inline uint16_t bf16_from_f32(float value) {
  const uint32_t bits = to_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Where feature d of the token in `slot` lies among the cells of a head of a page: see KvLayer.
template <typename Cell>
static constexpr int64_t kTogether = 4 / sizeof(Cell);
template <typename Cell>
static inline int64_t key_cell(int64_t slot, int64_t d) {
  return (d / kTogether<Cell> * kPageTokens + slot) * kTogether<Cell> + d % kTogether<Cell>;
}
template <typename Cell>
static inline int64_t value_cell(int64_t slot, int64_t d, int64_t head_dim) {
  return (slot / kTogether<Cell> * head_dim + d) * kTogether<Cell> + slot % kTogether<Cell>;
}

// Calls body with a null pointer to the type of a cell.
template <typename Body>
static inline void with_cell(KvType type, const Body& body) {
  switch (type) {
    case KvType::f32: return body(static_cast<float*>(nullptr));
    case KvType::bf16: return body(static_cast<uint16_t*>(nullptr));
    case KvType::int8: return body(static_cast<int8_t*>(nullptr));
  }
}

}  // namespace honed::portable
