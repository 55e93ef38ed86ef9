// Memory behind the slots of a plan: one stretch for each stretch number, long enough for the most rows of a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "plan/plan.h"

namespace honed {

struct SlotMemory {
  std::byte* data = nullptr;
  int64_t row_bytes = 0;
  QuantizedRow layout{};              // quantized slots
  std::optional<std::size_t> output;  // of the plan, whose rows go where the caller wants them: no memory here
};

class Arena {
 public:
  // `plan` is already validated. Throws std::invalid_argument where the sizes are out of range.
  Arena(const Plan& plan, int64_t max_tokens, int64_t max_selected);

  const SlotMemory& slot(SlotNumber index) const { return slots_[static_cast<std::size_t>(index)]; }
  int64_t bytes() const { return static_cast<int64_t>(buffer_.size()); }

 private:
  std::vector<SlotMemory> slots_;
  AlignedBuffer buffer_;
};

}  // namespace honed
