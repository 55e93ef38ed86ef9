// The contract of embed_blocks: rows of GGUF blocks of every type, written from logical codes and scales.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"
#include "tests/contract/packed.h"
#include "tests/contract/rows.h"

namespace honed::contract {

// One block as ggml writes it, and what it decodes to.
struct DrawnBlock {
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

inline void set_bits(std::vector<uint8_t>& bytes, std::size_t at, int bits) {
  bytes[at] = static_cast<uint8_t>(bytes[at] | bits);
}

// Blocks of 32: d, m where there is one, the fifth bits where there are any, the codes.
inline DrawnBlock draw_block(Random& random, int bits, bool minimum) {
  DrawnBlock block;
  const uint16_t d = random_f16(random);
  append_f16(block.bytes, d);
  const uint16_t m = random_f16(random);
  if (minimum) append_f16(block.bytes, m);
  const std::size_t high = block.bytes.size();
  const std::size_t codes = high + (bits == 5 ? 4 : 0);
  block.bytes.resize(codes + (bits == 8 ? 32 : 16), 0);
  for (std::size_t i = 0; i < 32; ++i) {
    const int code = static_cast<int>(random.between(0, (1 << bits) - 1));
    if (bits == 8) {
      block.bytes[codes + i] = static_cast<uint8_t>(code);
    } else {
      set_bits(block.bytes, codes + i % 16, (code & 15) << (i < 16 ? 0 : 4));
      if (bits == 5) set_bits(block.bytes, high + i / 8, (code >> 4) << (i % 8));
    }
    const int zero = minimum ? 0 : 1 << (bits - 1);
    const int value = bits == 8 ? (code < 128 ? code : code - 256) : code - zero;
    const float product = oracle_f16(d) * static_cast<float>(value);
    block.values.push_back(minimum ? product + oracle_f16(m) : product);
  }
  return block;
}

// Q4_K and Q5_K: 8 groups of 32 with 6-bit scales and minimums of fp16 ones.
inline DrawnBlock draw_group_block(Random& random, int bits) {
  DrawnBlock block;
  const uint16_t d = random_f16(random);
  const uint16_t m = random_f16(random);
  append_f16(block.bytes, d);
  append_f16(block.bytes, m);
  const std::size_t high = 16;
  const std::size_t codes = high + (bits == 5 ? 32 : 0);
  block.bytes.resize(codes + 128, 0);
  for (std::size_t g = 0; g < 8; ++g) {
    const int scale = static_cast<int>(random.between(0, 63));
    const int minimum = static_cast<int>(random.between(0, 63));
    if (g < 4) {
      set_bits(block.bytes, 4 + g, scale);
      set_bits(block.bytes, 8 + g, minimum);
    } else {
      set_bits(block.bytes, 8 + g, (scale & 15) | (minimum & 15) << 4);
      set_bits(block.bytes, g, (scale >> 4) << 6);
      set_bits(block.bytes, 4 + g, (minimum >> 4) << 6);
    }
    for (std::size_t i = 0; i < 32; ++i) {
      const int code = static_cast<int>(random.between(0, (1 << bits) - 1));
      set_bits(block.bytes, codes + g / 2 * 32 + i, (code & 15) << (g % 2 * 4));
      if (bits == 5) set_bits(block.bytes, high + i, (code >> 4) << g);
      const float factor = oracle_f16(d) * static_cast<float>(scale);
      block.values.push_back(factor * static_cast<float>(code) - oracle_f16(m) * static_cast<float>(minimum));
    }
  }
  return block;
}

// Q6_K: 16 groups of 16 with int8 scales.
inline DrawnBlock draw_q6_k(Random& random) {
  DrawnBlock block;
  block.bytes.assign(208, 0);
  const uint16_t d = random_f16(random);
  append_f16(block.bytes, d);
  for (std::size_t i = 0; i < 256; ++i) {
    if (i % 16 == 0) block.bytes[192 + i / 16] = static_cast<uint8_t>(random.between(-128, 127));
    const int code = static_cast<int>(random.between(0, 63));
    const std::size_t half = i / 128;
    const std::size_t within = i % 128;
    set_bits(block.bytes, half * 64 + within % 64, (code & 15) << (within < 64 ? 0 : 4));
    set_bits(block.bytes, 128 + half * 32 + within % 32, (code >> 4) << (within / 32 * 2));
    const int scale = static_cast<int8_t>(block.bytes[192 + i / 16]);
    block.values.push_back(oracle_f16(d) * static_cast<float>(scale) * static_cast<float>(code - 32));
  }
  return block;
}

// Value i of 256 has two bits of byte i % 32 of a half.
inline void set_two_bits(std::vector<uint8_t>& bytes, std::size_t codes, std::size_t i, int code) {
  set_bits(bytes, codes + i / 128 * 32 + i % 32, code << (i % 128 / 32 * 2));
}

inline DrawnBlock draw_q2_k(Random& random) {
  DrawnBlock block;
  block.bytes.assign(80, 0);
  const uint16_t d = random_f16(random);
  const uint16_t m = random_f16(random);
  append_f16(block.bytes, d);
  append_f16(block.bytes, m);
  for (std::size_t i = 0; i < 256; ++i) {
    if (i % 16 == 0) block.bytes[i / 16] = static_cast<uint8_t>(random.between(0, 255));
    const int code = static_cast<int>(random.between(0, 3));
    set_two_bits(block.bytes, 16, i, code);
    const float scale = oracle_f16(d) * static_cast<float>(block.bytes[i / 16] % 16);
    const float minimum = oracle_f16(m) * static_cast<float>(block.bytes[i / 16] / 16);
    block.values.push_back(scale * static_cast<float>(code) - minimum);
  }
  return block;
}

inline DrawnBlock draw_q3_k(Random& random) {
  DrawnBlock block;
  block.bytes.assign(108, 0);
  const uint16_t d = random_f16(random);
  append_f16(block.bytes, d);
  int scale = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t g = i / 16;
    if (i % 16 == 0) {
      scale = static_cast<int>(random.between(0, 63));
      set_bits(block.bytes, 96 + g % 8, (scale & 15) << (g < 8 ? 0 : 4));
      set_bits(block.bytes, 104 + g % 4, (scale >> 4) << (g / 4 * 2));
    }
    const int code = static_cast<int>(random.between(0, 7));
    set_two_bits(block.bytes, 32, i, code & 3);
    set_bits(block.bytes, i % 32, (code >> 2) << (i / 32));
    block.values.push_back(oracle_f16(d) * static_cast<float>(scale - 32) * static_cast<float>(code - 4));
  }
  return block;
}

// Sixteen values by four bits: blocks of 32 with a scale, or eight of them with 6-bit scales of an fp16 one.
inline DrawnBlock draw_four_bit_values(Random& random, bool scaled) {
  constexpr int kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  DrawnBlock block;
  const uint16_t d = random_f16(random);
  append_f16(block.bytes, d);
  const std::size_t codes = scaled ? 8 : 2;
  const std::size_t groups = scaled ? 8 : 1;
  block.bytes.resize(codes + groups * 16, 0);
  for (std::size_t g = 0; g < groups; ++g) {
    float scale = oracle_f16(d);
    if (scaled) {
      const int level = static_cast<int>(random.between(0, 63));
      set_bits(block.bytes, 4 + g / 2, (level & 15) << (g % 2 * 4));
      set_bits(block.bytes, 2 + g / 4, (level >> 4) << (g % 4 * 2));
      scale = scale * static_cast<float>(level - 32);
    }
    for (std::size_t i = 0; i < 32; ++i) {
      const int code = static_cast<int>(random.between(0, 15));
      set_bits(block.bytes, codes + g * 16 + i % 16, code << (i < 16 ? 0 : 4));
      block.values.push_back(scale * static_cast<float>(kValues[code]));
    }
  }
  return block;
}

inline DrawnBlock draw_table_block(Random& random, TableType type) {
  switch (type) {
    case TableType::q4_0: return draw_block(random, 4, false);
    case TableType::q4_1: return draw_block(random, 4, true);
    case TableType::q5_0: return draw_block(random, 5, false);
    case TableType::q5_1: return draw_block(random, 5, true);
    case TableType::q8_0: return draw_block(random, 8, false);
    case TableType::q4_k: return draw_group_block(random, 4);
    case TableType::q5_k: return draw_group_block(random, 5);
    case TableType::q2_k: return draw_q2_k(random);
    case TableType::q3_k: return draw_q3_k(random);
    case TableType::iq4_nl: return draw_four_bit_values(random, false);
    case TableType::iq4_xs: return draw_four_bit_values(random, true);
    default: return draw_q6_k(random);
  }
}

inline void test_embed_blocks(Check& check, const KernelTable& table) {
  constexpr int64_t kEntries = 7;
  constexpr const char* kNames[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0",   "q4_k",
                                    "q5_k", "q6_k", "q2_k", "q3_k", "iq4_nl", "iq4_xs"};
  for (int type = 0; type < 12; ++type) {
    for (const int64_t blocks : {1, 2, 3, 8}) {
      Random random(1500 + static_cast<uint64_t>(blocks * 12 + type));
      const auto table_type = static_cast<TableType>(static_cast<int>(TableType::q4_0) + type);
      std::vector<uint8_t> bytes;
      std::vector<float> values;
      for (int64_t i = 0; i < kEntries * blocks; ++i) {
        const DrawnBlock block = draw_table_block(random, table_type);
        bytes.insert(bytes.end(), block.bytes.begin(), block.bytes.end());
        values.insert(values.end(), block.values.begin(), block.values.end());
      }
      const int64_t width = static_cast<int64_t>(values.size()) / kEntries;
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, kNames[type], Values::spread)) continue;
      Guarded<uint8_t> source(static_cast<int64_t>(bytes.size()));
      std::copy(bytes.begin(), bytes.end(), source.data());
      Guarded<int32_t> tokens(range.rows);
      for (int64_t row = 0; row < range.rows; ++row) {
        tokens[row] = static_cast<int32_t>(row + 1 == range.rows ? kEntries - 1 : random.between(0, kEntries - 1));
      }
      Guarded<float> y((range.rows - 1) * range.y_stride + width);
      fill(y, canary());
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          want[static_cast<std::size_t>(row * range.y_stride + i)] =
              values[static_cast<std::size_t>(tokens[row] * width + i)];
        }
      }
      table.embed_blocks({tokens.data(), range.begin, range.end, source.data(), table_type, width, y.data(),
                          range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

}  // namespace honed::contract
