// Logical weights and activations of one matmul, and their packed forms as the layouts of cpu/kernel_table.h say.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/memory.h"
#include "tests/contract/oracle.h"

namespace honed::contract {

// Scales of every size that binary16 has, now and then the largest, the smallest denormal and zero.
inline uint16_t random_f16(Random& random) {
  constexpr uint16_t kExtremes[] = {0x7bff, 0x0001, 0x03ff, 0x0000, 0xfbff};
  if (random.chance(16)) return kExtremes[random.between(0, 4)];
  return static_cast<uint16_t>(random.between(0x0001, 0x4400) | (random.chance(8) ? 0x8000 : 0));
}

// Integer codes of every packed column, [columns][k_padded], and the per group (or per column) floats.
struct Codes {
  int64_t columns;  // a multiple of 32
  int64_t k_padded;
  int64_t group;  // 0: one scale a column
  Int4Offset offset = Int4Offset::symmetric;
  std::vector<int> code;
  std::vector<uint16_t> scales;    // [columns][groups]
  std::vector<uint8_t> zeros;      // [columns][groups]
  std::vector<uint16_t> minimums;  // [columns][groups]

  int64_t groups() const { return group == 0 ? 0 : k_padded / group; }
  int at(int64_t column, int64_t k) const { return code[static_cast<std::size_t>(column * k_padded + k)]; }
  std::size_t group_index(int64_t column, int64_t g) const { return static_cast<std::size_t>(column * groups() + g); }
};

// One of two extremes: along each line (a column or a row) always the first, always the second, or mixed.
class Extremes {
 public:
  Extremes(Random& random, int low, int high) : random_(random), low_(low), high_(high) {}
  void next_line() { kind_ = random_.between(0, 2); }
  int draw() {
    if (kind_ < 2) return kind_ == 0 ? low_ : high_;
    return random_.chance(3) ? low_ : high_;
  }

 private:
  Random& random_;
  int low_, high_;
  int64_t kind_ = 0;
};

// Codes from `low` to `high`; with `extreme` only these two. Padding of k is random as well: the zeros that cancel
// it are on the side of the activations.
inline Codes random_codes(Random& random, int64_t columns, int64_t k_padded, int64_t group, Int4Offset offset, int low,
                          int high, bool extreme) {
  Codes codes{columns, k_padded, group, offset, {}, {}, {}, {}};
  Extremes extremes(random, low, high);
  for (int64_t i = 0; i < columns * k_padded; ++i) {
    if (i % k_padded == 0) extremes.next_line();
    codes.code.push_back(extreme ? extremes.draw() : static_cast<int>(random.between(low, high)));
  }
  for (int64_t i = 0; i < columns * codes.groups(); ++i) {
    codes.scales.push_back(random_f16(random));
    codes.zeros.push_back(static_cast<uint8_t>(extreme ? 255 * random.between(0, 1) : random.between(0, 15)));
    codes.minimums.push_back(random_f16(random));
  }
  return codes;
}

inline void append_f16(std::vector<uint8_t>& bytes, uint16_t value) {
  bytes.push_back(static_cast<uint8_t>(value & 255));
  bytes.push_back(static_cast<uint8_t>(value >> 8));
}

// [depth / 4 quads][32 columns][4 k], from k of the panel's first column on.
inline void append_int8_quads(std::vector<uint8_t>& bytes, const Codes& codes, int64_t column, int64_t k,
                              int64_t depth) {
  for (int64_t quad = 0; quad < depth / 4; ++quad) {
    for (int c = 0; c < 32; ++c) {
      for (int j = 0; j < 4; ++j) bytes.push_back(static_cast<uint8_t>(codes.at(column + c, k + quad * 4 + j)));
    }
  }
}

inline void append_int4_block(std::vector<uint8_t>& bytes, const Codes& codes, int64_t column, int64_t k) {
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) {
      for (int c = 0; c < 16; ++c) {
        for (int j = 0; j < 4; ++j) {
          const int low = codes.at(column + half * 16 + c, k + i * 4 + j);
          const int high = codes.at(column + half * 16 + c, k + (i + 4) * 4 + j);
          bytes.push_back(static_cast<uint8_t>(low | (high << 4)));
        }
      }
    }
  }
}

inline std::vector<uint8_t> pack_int8(const Codes& codes) {
  std::vector<uint8_t> bytes;
  const int64_t depth = codes.group == 0 ? 64 : codes.group;
  for (int64_t column = 0; column < codes.columns; column += 32) {
    for (int64_t k = 0; k < codes.k_padded; k += depth) {
      append_int8_quads(bytes, codes, column, k, depth);
      if (codes.group == 0) continue;
      for (int c = 0; c < 32; ++c) append_f16(bytes, codes.scales[codes.group_index(column + c, k / depth)]);
    }
  }
  return bytes;
}

inline std::vector<uint8_t> pack_int4(const Codes& codes) {
  std::vector<uint8_t> bytes;
  for (int64_t column = 0; column < codes.columns; column += 32) {
    for (int64_t g = 0; g < codes.groups(); ++g) {
      for (int64_t k = 0; k < codes.group; k += 32) append_int4_block(bytes, codes, column, g * codes.group + k);
      for (int c = 0; c < 32; ++c) append_f16(bytes, codes.scales[codes.group_index(column + c, g)]);
      for (int c = 0; c < 32; ++c) {
        const std::size_t i = codes.group_index(column + c, g);
        if (codes.offset == Int4Offset::zero_point) bytes.push_back(codes.zeros[i]);
        if (codes.offset == Int4Offset::minimum) append_f16(bytes, codes.minimums[i]);
      }
    }
  }
  return bytes;
}

// Quantized activation rows, as the quantize slot would leave them.
struct Activations {
  int64_t k_padded;
  int64_t group;  // 0: one scale a row
  int64_t scales_offset;
  int64_t sums_offset;
  int64_t row_bytes;
  std::vector<int8_t> q;       // [rows][k_padded]
  std::vector<float> scales;   // [rows][scales of a row]
  std::vector<int32_t> sums;   // [rows][k_padded / 32]
  std::vector<uint8_t> bytes;  // packed

  int64_t scales_per_row() const { return group == 0 ? 1 : k_padded / group; }
  float scale(int64_t row, int64_t g) const { return scales[static_cast<std::size_t>(row * scales_per_row() + g)]; }
  int at(int64_t row, int64_t k) const { return q[static_cast<std::size_t>(row * k_padded + k)]; }
};

inline Activations random_activations(Random& random, int64_t rows, int64_t k, int64_t k_padded, int64_t group,
                                      Values values, bool extreme) {
  Activations x{};
  x.k_padded = k_padded;
  x.group = group;
  x.scales_offset = k_padded;
  x.sums_offset = k_padded + x.scales_per_row() * 4;
  x.row_bytes = x.sums_offset + k_padded / 32 * 4 + 4;
  x.bytes.assign(static_cast<std::size_t>(rows * x.row_bytes), 0xa5);
  Extremes extremes(random, -127, 127);
  for (int64_t row = 0; row < rows; ++row) {
    extremes.next_line();
    uint8_t* packed = x.bytes.data() + row * x.row_bytes;
    std::vector<int32_t> sums(static_cast<std::size_t>(k_padded / 32), 0);
    const bool zero_row = random.chance(6);
    for (int64_t i = 0; i < k_padded; ++i) {
      int q = extreme ? extremes.draw() : static_cast<int>(random.between(-127, 127));
      if (i >= k || zero_row) q = 0;
      x.q.push_back(static_cast<int8_t>(q));
      sums[static_cast<std::size_t>(i / 32)] += q;
    }
    for (int64_t g = 0; g < x.scales_per_row(); ++g) x.scales.push_back(std::fabs(random.value(values)));
    x.sums.insert(x.sums.end(), sums.begin(), sums.end());
    std::memcpy(packed, x.q.data() + row * k_padded, static_cast<std::size_t>(k_padded));
    std::memcpy(packed + x.scales_offset, x.scales.data() + row * x.scales_per_row(),
                static_cast<std::size_t>(x.scales_per_row()) * 4);
    std::memcpy(packed + x.sums_offset, sums.data(), sums.size() * 4);
  }
  return x;
}

}  // namespace honed::contract
