// The ops that the executor runs: fused, with slots and weights by number. Nothing here knows an
// architecture. The Python side (plan/lower.py) builds these records; plan/validate.cpp rejects a plan that
// would read or write outside its slots or weights.
#pragma once

#include <cstdint>

namespace honed {

enum class OpCode : int32_t {
  embed = 0,
  rms_norm = 1,
  quantize = 2,
  rms_norm_quantize = 3,
  matmul = 4,
  rope_kv = 5,
  attention = 6,
  gated = 7,
  add = 8,
  select = 9,
};

inline constexpr int32_t kNoWeight = -1;

// What the fields of `Op` mean for each code. Sizes and scalars not named are zero.
//
// code               input            output            weights                  sizes                                    scalars
// embed              (tokens)         f32 slot          table                    width
// rms_norm           f32 slot         f32 slot          vector                   width                                    eps
// quantize           f32 slot         quantized slot                             width, activation_group
// rms_norm_quantize  f32 slot         quantized slot    vector                   width, activation_group                  eps
// matmul             f32 (dense) or   f32 slot          matrix, bias|none        k, columns, epilogue,
//                    quantized slot                                              activation_group, output_column
// rope_kv            f32 qkv slot     (same slot)       inv_freq,                heads, kv_heads, head_dim,               eps, attention_factor
//                                                       q_norm|none, k_norm|none rotary_dim, layer
// attention          f32 qkv slot     f32 slot          (none)                   heads, kv_heads, head_dim, layer,        scale
//                                                                                window (0: all keys)
// gated              f32 [gate, up]   f32 slot                                   width, activation
// add                f32 slot         f32 slot (+=)                              width
// select             f32 slot         f32 slot of                                width
//                                     selected rows
//
// The last op writes the logits: an f32 slot of selected rows.
struct Op {
  OpCode code;
  int32_t input;
  int32_t output;
  int32_t weights[3];
  int64_t sizes[5];
  float scalars[2];
};

}  // namespace honed
