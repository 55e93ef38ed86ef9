// The contract of embed_packed: rows of a matrix of every packed form of integers, looked up in its panels.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"
#include "tests/contract/packed.h"
#include "tests/contract/rows.h"

namespace honed::contract {

struct LookupMode {
  PanelCodes codes;
  int64_t group;
  Int4Offset offset;
  const char* name;
};

inline constexpr LookupMode kLookupModes[] = {
    {PanelCodes::int8, 0, Int4Offset::symmetric, "int8, a scale a column"},
    {PanelCodes::int8, 32, Int4Offset::symmetric, "int8, groups of 32"},
    {PanelCodes::int8, 128, Int4Offset::symmetric, "int8, groups of 128"},
    {PanelCodes::int4, 32, Int4Offset::symmetric, "int4 symmetric, groups of 32"},
    {PanelCodes::int4, 64, Int4Offset::zero_point, "int4 zero points, groups of 64"},
    {PanelCodes::int4, 32, Int4Offset::minimum, "int4 minimums, groups of 32"},
    {PanelCodes::codebook, 32, Int4Offset::symmetric, "codebook, groups of 32"},
    {PanelCodes::codebook, 128, Int4Offset::symmetric, "codebook, groups of 128"},
};

// Entry `column` of the table at `k`, before the factor.
inline float oracle_entry(const LookupMode& mode, const Codes& w, const int8_t* codebook, const float* column_scales,
                          int64_t column, int64_t k) {
  const int code = w.at(column, k);
  if (mode.group == 0) return static_cast<float>(code) * column_scales[column];
  const std::size_t i = w.group_index(column, k / mode.group);
  const float scale = oracle_f16(w.scales[i]);
  if (mode.codes == PanelCodes::int8) return static_cast<float>(code) * scale;
  if (mode.codes == PanelCodes::codebook) return static_cast<float>(codebook[code]) * scale;
  if (mode.offset == Int4Offset::minimum) return static_cast<float>(code) * scale + oracle_f16(w.minimums[i]);
  const int zero = mode.offset == Int4Offset::symmetric ? 8 : w.zeros[i];
  return static_cast<float>(code - zero) * scale;
}

inline void test_embed_packed(Check& check, const KernelTable& table) {
  constexpr int64_t kEntries = 96;
  for (std::size_t number = 0; number < std::size(kLookupModes); ++number) {
    const LookupMode& mode = kLookupModes[number];
    for (const int64_t width : kWidths) {
      Random random(2500 + static_cast<uint64_t>(width * 16) + number);
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, mode.name, Values::spread)) continue;
      const bool bytes = mode.codes == PanelCodes::int8;
      const int64_t k_padded = round_up(width, mode.group == 0 ? 64 : mode.group);
      const Codes w = random_codes(random, kEntries, k_padded, mode.group, mode.offset, bytes ? -128 : 0,
                                   bytes ? 127 : 15, false);
      const std::vector<uint8_t> packed = bytes ? pack_int8(w) : pack_int4(w);
      Guarded<uint8_t> panels(static_cast<int64_t>(packed.size()));
      std::copy(packed.begin(), packed.end(), panels.data());
      Guarded<float> column_scales(kEntries);
      random.fill(column_scales, Values::ordinary);
      Guarded<int8_t> codebook(16);
      for (int64_t i = 0; i < 16; ++i) codebook[i] = static_cast<int8_t>(random.between(-128, 127));
      Guarded<float> factors(width);
      for (int64_t k = 0; k < width; ++k) factors[k] = std::ldexp(1.0f, static_cast<int>(random.between(-24, 24)));
      Guarded<int32_t> tokens(range.rows);
      for (int64_t row = 0; row < range.rows; ++row) {
        tokens[row] = static_cast<int32_t>(random.between(0, kEntries - 1));
      }
      tokens[range.rows - 1] = kEntries - 1;
      Guarded<float> y((range.rows - 1) * range.y_stride + width);
      fill(y, canary());
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        for (int64_t k = 0; k < width; ++k) {
          want[static_cast<std::size_t>(row * range.y_stride + k)] =
              oracle_entry(mode, w, codebook.data(), column_scales.data(), tokens[row], k) * factors[k];
        }
      }
      table.embed_packed({.tokens = tokens.data(),
                          .row_begin = range.begin,
                          .row_end = range.end,
                          .panels = panels.data(),
                          .panel_bytes = panels.size() / (kEntries / 32),
                          .width = width,
                          .codes = mode.codes,
                          .column_scales = mode.group == 0 ? column_scales.data() : nullptr,
                          .codebook = mode.codes == PanelCodes::codebook ? codebook.data() : nullptr,
                          .group = mode.group,
                          .offset = mode.offset,
                          .factors = factors.data(),
                          .y = y.data(),
                          .y_stride = range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

}  // namespace honed::contract
