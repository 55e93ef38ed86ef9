// The cells of the KV cache: how a value is stored and read back. Everything is static, as in scalar.h.
#pragma once

#include "kernels/portable/scalar.h"

namespace honed::portable {

static inline float widen(float cell) { return cell; }
static inline float widen(uint16_t cell) { return bf16_to_f32(cell); }
static inline float widen(int8_t cell) { return static_cast<float>(cell); }

static inline uint16_t bf16_from_f32(float value) {
  const uint32_t bits = to_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
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
