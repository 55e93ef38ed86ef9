// What ops that write quantized rows have in common.
#pragma once

#include "executor/step.h"
#include "plan/check.h"

namespace honed::ops {

// The output holds just these rows; notes that they are written.
inline void write_quantized(Check& check, SlotNumber input, SlotNumber output, int64_t width, int64_t group) {
  const Slot& slot = check.slot("output", output, SlotKind::quantized);
  check.same_rows(input, output);
  check.apart(input, output);
  check.require(slot.width == width, "width", width, "the quantized slot is " + std::to_string(slot.width) + " wide");
  check.require(slot.activation_group == group, "activation_group", group,
                "the quantized slot has " + std::to_string(slot.activation_group));
  check.writes(output, 0, width);
}

}  // namespace honed::ops
