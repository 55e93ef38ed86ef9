// How weights and the KV cache are laid out: sizes of panels, tiles and pages, and what groups and blocks of weights store.
//
// A part of kernel_table.h, which includes it; as there, nothing here may generate code.
#pragma once

#include <cstdint>

namespace honed {

inline constexpr int kPanelColumns = 32;  // output columns of one packed panel, streamed in sequence
inline constexpr int kTileColumns = 16;   // columns of one register or tile: half a panel
inline constexpr int kTileDepth = 64;     // k that int8 with one scale a column is padded to: 16 quads of 4 k
inline constexpr int kBlock = 32;         // k of the smallest group; activation sums are kept per block
inline constexpr int kPageTokens = 32;    // keys of one KV page
inline constexpr int kSpanTokens = 256;   // keys of one span of attention, whatever the threads and the batch
inline constexpr int kLanes = 16;         // partial sums of every float reduction (lane j takes j mod 16)

// How an int4 group stores its offset. w = scale * (code - zero)  or  w = scale * code + minimum.
enum class Int4Offset : int32_t {
  symmetric = 0,   // zero is 8 everywhere, nothing stored
  zero_point = 1,  // one uint8 per group and column
  minimum = 2      // one fp16 per group and column
};

// GGUF blocks whose scales are products, kept as factors: as fp16 d (and m) of a super-block of `depth` k, and, but for
// q5_1, as a byte of each group (of q2_k two half bytes). Codes are unsigned, from 0 to `largest`;
// w = d * level * (code - zero), or with a minimum w = d * level * code - m * minimum level, of q5_1 d * code + m, with
// values (d * factor) * level * values[code].
enum class BlockForm : int32_t {
  q4_k = 0, q5_k = 1, q5_1 = 2, q6_k = 3, q2_k = 4, q3_k = 5,
  iq4_xs = 6, iq3_s = 7, iq3_xxs = 8, iq2_xxs = 9, iq1_s = 10,  // with values, levels of 32 k
  iq2_xs = 11, iq2_s = 12, iq1_m = 13                           // and of 16 k
};

inline constexpr int8_t kFourBitValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};  // ggml's kvalues_iq4nl
// Points of the grids of GGUF have so few coordinates that four bits hold them with their signs; those of IQ1 are eighths.
inline constexpr int8_t kIq3sValues[16] = {-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15};
inline constexpr int8_t kIq3xxsValues[16] = {-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr int8_t kIq2Values[16] = {-43, -25, -8, 8, 25, 43};
inline constexpr int8_t kIq1Values[16] = {-9, -7, -1, 1, 7, 9};

struct BlockShape {
  int64_t depth;         // k of a super-block
  int64_t head_bytes;    // 32 fp16 d, then where there is a minimum 32 fp16 m
  int64_t code_bytes;    // of 32 k of a panel: as an int4 block, or bytes [2 halves][8 quads][16][4 k]
  int64_t level_bytes;   // behind them: two rows of 32 bytes, one, or nothing
  int64_t group;         // k that share a level
  int32_t largest, zero;
  bool minimum;
  bool nibbles;          // codes as an int4 block
  const int8_t* values = nullptr;  // what codes stand for, if not themselves
  float factor = 1.0f;             // of d, a power of two; only with values
};

inline constexpr BlockShape kBlockShapes[] = {
    {256, 128, 512, 64, 32, 15, 0, true, true},     // q4_k: a row of uint8 scales, a row of uint8 minimums
    {256, 128, 1024, 64, 32, 31, 0, true, false},   // q5_k: the same
    {32, 128, 1024, 0, 32, 31, 0, true, false},     // q5_1
    {256, 64, 1024, 64, 16, 63, 32, false, false},  // q6_k: int8 scales of the first 16 k, then of the second
    {256, 128, 512, 64, 16, 15, 0, true, true},     // q2_k: the first 16 k, then the second: scale | minimum << 4
    {256, 64, 512, 64, 16, 15, 4, false, true},     // q3_k: as q6_k
    {256, 64, 512, 32, 32, 15, 0, false, true, kFourBitValues},  // iq4_xs: a row of int8 scales
    {256, 64, 512, 32, 32, 15, 0, false, true, kIq3sValues},     // those of 32 k: the same
    {256, 64, 512, 32, 32, 15, 0, false, true, kIq3xxsValues, 0.25f},
    {256, 64, 512, 32, 32, 5, 0, false, true, kIq2Values, 0.125f},
    {256, 64, 512, 32, 32, 5, 0, false, true, kIq1Values, 0.125f},
    {256, 64, 512, 64, 16, 5, 0, false, true, kIq2Values, 0.125f},  // iq2_xs, and those behind it: as q6_k
    {256, 64, 512, 64, 16, 5, 0, false, true, kIq2Values, 0.125f},
    {256, 64, 512, 64, 16, 5, 0, false, true, kIq1Values, 0.125f},
};

}  // namespace honed
