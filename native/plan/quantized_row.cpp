// The byte layout of a quantized activation row.
#include "plan/plan.h"

namespace honed {

QuantizedRow quantized_row(int64_t width, int64_t activation_group) {
  // A row is padded to the widest unit of any packed weight (groups of 128), so that one row serves all of them.
  constexpr int64_t kWidestUnit = 128;
  constexpr int64_t kAlignment = 64;
  const auto round_up = [](int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; };
  QuantizedRow row{};
  row.width_padded = round_up(width, kWidestUnit);
  row.scales_offset = row.width_padded;
  const int64_t scales = activation_group == 0 ? 1 : row.width_padded / activation_group;
  row.sums_offset = round_up(row.scales_offset + scales * 4, kAlignment);
  row.bytes = round_up(row.sums_offset + row.width_padded / kBlock * 4, kAlignment);
  return row;
}

}  // namespace honed
