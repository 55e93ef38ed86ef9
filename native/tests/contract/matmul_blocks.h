// The contract of matmul_blocks: every form and epilogue, extreme codes and levels, partial ranges.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/matmul.h"
#include "tests/contract/oracle.h"
#include "tests/contract/packed.h"

namespace honed::contract {

// Logical weights: codes [columns][k], the factors of their scales and minimums.
struct SuperBlocks {
  BlockForm form;
  int64_t columns, k;
  std::vector<int> code;
  std::vector<uint16_t> d, m;     // [columns][k / depth]
  std::vector<int> level, floor;  // [columns][k / group]: scale and minimum levels

  bool values() const { return form >= BlockForm::iq4_xs; }
  bool halves() const { return form >= BlockForm::iq2_xs; }
  bool signed_levels() const { return form == BlockForm::q6_k || form == BlockForm::q3_k || values(); }
  bool nibbles() const { return form != BlockForm::q5_k && form != BlockForm::q5_1 && form != BlockForm::q6_k; }
  int64_t depth() const { return form == BlockForm::q5_1 ? 32 : 256; }
  int64_t group() const { return (signed_levels() && (!values() || halves())) || form == BlockForm::q2_k ? 16 : 32; }
  bool has_minimum() const { return !signed_levels(); }
  int zero() const { return form == BlockForm::q6_k ? 32 : form == BlockForm::q3_k ? 4 : 0; }
  int largest() const {
    if (form > BlockForm::iq3_xxs) return 5;
    return nibbles() ? 15 : form == BlockForm::q6_k ? 63 : 31;
  }
  float factor() const { return form == BlockForm::iq3_xxs ? 0.25f : form > BlockForm::iq3_xxs ? 0.125f : 1.0f; }
  int weight(int64_t column, int64_t i) const {
    constexpr int kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    constexpr int kOfIq2[] = {-43, -25, -8, 8, 25, 43};
    constexpr int kOfIq1[] = {-9, -7, -1, 1, 7, 9};
    const int index = at(column, i);
    if (!values()) return index - zero();
    if (form == BlockForm::iq4_xs) return kValues[index];
    if (form == BlockForm::iq3_s) return 2 * index - 15;
    if (form == BlockForm::iq3_xxs) {
      const int odd = index < 8 ? 15 - 2 * index : 2 * index - 15;
      const int magnitude = odd == 15 ? 62 : 4 * odd;
      return index < 8 ? -magnitude : magnitude;
    }
    return form == BlockForm::iq1_s || form == BlockForm::iq1_m ? kOfIq1[index] : kOfIq2[index];
  }
  int at(int64_t column, int64_t i) const { return code[static_cast<std::size_t>(column * k + i)]; }
  std::size_t super(int64_t column, int64_t i) const { return static_cast<std::size_t>((column * k + i) / depth()); }
  std::size_t run(int64_t column, int64_t i) const { return static_cast<std::size_t>((column * k + i) / group()); }
};

inline SuperBlocks random_super_blocks(Random& random, BlockForm form, int64_t columns, int64_t k, bool extreme) {
  SuperBlocks w{form, columns, k, {}, {}, {}, {}, {}};
  // Of q2_k and q3_k the file has fewer bits than the layout.
  const int largest = w.largest();
  Extremes extremes(random, 0, largest);
  for (int64_t i = 0; i < columns * k; ++i) {
    if (i % k == 0) extremes.next_line();
    w.code.push_back(extreme ? extremes.draw() : static_cast<int>(random.between(0, largest)));
  }
  for (int64_t i = 0; i < columns * k / w.depth(); ++i) {
    w.d.push_back(random_f16(random));
    w.m.push_back(random_f16(random));
  }
  for (int64_t i = 0; i < columns * k / w.group(); ++i) {
    // Six bits are used by the file formats; a byte is what the layout holds.
    const int64_t most = form == BlockForm::q2_k ? 15 : extreme ? 255 : 63;
    w.level.push_back(static_cast<int>(w.signed_levels() ? random.between(-128, 127) : random.between(0, most)));
    w.floor.push_back(static_cast<int>(random.between(0, most)));
  }
  return w;
}

// 32 k as [2 halves][8 quads][16 columns][4 k].
inline void append_byte_codes(std::vector<uint8_t>& bytes, const Codes& codes, int64_t column, int64_t k) {
  for (int half = 0; half < 2; ++half) {
    for (int64_t quad = 0; quad < 8; ++quad) {
      for (int c = 0; c < 16; ++c) {
        for (int j = 0; j < 4; ++j) {
          bytes.push_back(static_cast<uint8_t>(codes.at(column + half * 16 + c, k + quad * 4 + j)));
        }
      }
    }
  }
}

inline std::vector<uint8_t> pack_super_blocks(const SuperBlocks& w) {
  std::vector<uint8_t> bytes;
  Codes codes{w.columns, w.k, 0, Int4Offset::symmetric, w.code, {}, {}, {}};
  for (int64_t column = 0; column < w.columns; column += 32) {
    for (int64_t k = 0; k < w.k; k += 32) {
      if (k % w.depth() == 0) {
        for (int c = 0; c < 32; ++c) append_f16(bytes, w.d[w.super(column + c, k)]);
        for (int c = 0; w.has_minimum() && c < 32; ++c) append_f16(bytes, w.m[w.super(column + c, k)]);
      }
      if (w.nibbles()) {
        append_int4_block(bytes, codes, column, k);
      } else {
        append_byte_codes(bytes, codes, column, k);
      }
      if (w.form == BlockForm::q5_1) continue;
      const auto both = [&](std::size_t run) {
        return w.form == BlockForm::q2_k ? w.level[run] | w.floor[run] << 4 : w.level[run];
      };
      for (int c = 0; c < 32; ++c) bytes.push_back(static_cast<uint8_t>(both(w.run(column + c, k))));
      for (int c = 0; (!w.values() || w.halves()) && c < 32; ++c) {
        const int second = w.group() == 16 ? both(w.run(column + c, k + 16)) : w.floor[w.run(column + c, k)];
        bytes.push_back(static_cast<uint8_t>(second));
      }
    }
  }
  return bytes;
}

inline Linear super_block_scaled(const Activations& x, const SuperBlocks& w, int64_t row, int64_t column) {
  Linear sum;
  for (int64_t begin = 0; begin < w.k; begin += w.group()) {
    int64_t dot = 0;
    int64_t total = 0;
    for (int64_t k = begin; k < begin + w.group(); ++k) {
      dot += static_cast<int64_t>(x.at(row, k)) * w.weight(column, k);
      total += x.at(row, k);
    }
    const float x_scale = x.scale(row, begin / 32);
    const bool leveled = w.form != BlockForm::q5_1;
    const std::size_t run = w.run(column, begin);
    float scale = oracle_f16(w.d[w.super(column, begin)]) * w.factor();
    if (leveled) scale = scale * static_cast<float>(w.level[run]);
    sum.value = std::fmaf(static_cast<float>(dot) * x_scale, scale, sum.value);
    sum.add_term(static_cast<double>(dot) * static_cast<double>(x_scale) * static_cast<double>(scale));
    if (!w.has_minimum()) continue;
    float minimum = oracle_f16(w.m[w.super(column, begin)]);
    if (leveled) minimum = -(minimum * static_cast<float>(w.floor[run]));
    sum.value = std::fmaf(static_cast<float>(total) * x_scale, minimum, sum.value);
    sum.add_term(static_cast<double>(total) * static_cast<double>(x_scale) * static_cast<double>(minimum));
  }
  return sum;
}

inline void test_matmul_blocks(Check& check, const KernelTable& table) {
  constexpr const char* kNames[] = {"q4_k", "q5_k", "q5_1", "q6_k", "q2_k", "q3_k", "iq4_xs",
                                    "iq3_s", "iq3_xxs", "iq2_xxs", "iq1_s", "iq2_xs", "iq2_s", "iq1_m"};
  int64_t sequence = 0;
  for (int form = 0; form < 14; ++form) {
    for (const Epilogue epilogue : kEpilogues) {
      for (int repeat = 0; repeat < 14; ++repeat) {
        Random random(1300 + static_cast<uint64_t>(sequence));
        Shape shape = draw_shape(random, sequence++, epilogue);
        const auto block_form = static_cast<BlockForm>(form);
        shape.k = random.between(1, 5) * (block_form == BlockForm::q5_1 ? 32 : 256);
        if (!begin_matmul(check, shape, kNames[form])) continue;
        const SuperBlocks w = random_super_blocks(random, block_form, shape.panels * 32, shape.k, shape.extreme);
        const Activations x =
            random_activations(random, shape.rows, shape.k, round_up(shape.k, 128), 32, shape.values, shape.extreme);
        const std::vector<uint8_t> packed = pack_super_blocks(w);
        Guarded<uint8_t> panels(static_cast<int64_t>(packed.size()));
        std::copy(packed.begin(), packed.end(), panels.data());
        Guarded<uint8_t> rows(static_cast<int64_t>(x.bytes.size()));
        std::copy(x.bytes.begin(), x.bytes.end(), rows.data());
        MatmulArgs args{};
        args.x = rows.data();
        args.x_row_bytes = x.row_bytes;
        args.scales_offset = x.scales_offset;
        args.sums_offset = x.sums_offset;
        args.panels = panels.data();
        args.panel_bytes = panels.size() / shape.panels;
        args.k = args.k_padded = shape.k;
        args.group = args.activation_group = 32;
        args.block_form = block_form;
        run_matmul(check, table.matmul_blocks, args, shape, random, 4 * shape.k / 16,
                   [&](int64_t row, int64_t column) { return super_block_scaled(x, w, row, column); });
      }
    }
  }
}

}  // namespace honed::contract
