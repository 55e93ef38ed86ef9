// The groups of a panel of int4 weights.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::neon {

inline constexpr int64_t kBlockBytes = kBlock * kPanelColumns / 2;

// One group of a panel: its codes, and the scales and offsets behind them.
struct Group {
  const uint8_t* codes;
  const uint8_t* scales;
  const uint8_t* offsets;
  int64_t bytes;
};

static inline Group group_at(const MatmulArgs& args, const uint8_t* codes) {
  const uint8_t* scales = codes + args.group / kBlock * kBlockBytes;
  const uint8_t* offsets = scales + kPanelColumns * 2;
  int64_t offset_bytes = 0;
  if (args.offset == Int4Offset::zero_point) offset_bytes = kPanelColumns;
  if (args.offset == Int4Offset::minimum) offset_bytes = kPanelColumns * 2;
  return {codes, scales, offsets, offsets - codes + offset_bytes};
}

}  // namespace honed::neon
