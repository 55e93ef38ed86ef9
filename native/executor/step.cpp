#include "executor/step.h"

namespace honed {

int64_t Step::row_count(Rows rows) const {
  switch (rows) {
    case Rows::tokens: return batch_.rows;
    case Rows::selected: return batch_.selected_rows;
    case Rows::sequences: return workspace_.segments.count();
  }
  return 0;
}

int64_t Step::row_count(SlotNumber slot) const {
  const Slot& of = workspace_.plan->slots[static_cast<std::size_t>(slot)];
  return row_count(of.rows) * of.copies;
}

SlotRows Step::rows(SlotNumber slot) const {
  const SlotMemory& memory = workspace_.arena.slot(slot);
  std::byte* data = memory.output ? reinterpret_cast<std::byte*>(outputs_[*memory.output]) : memory.data;
  return {data, memory.row_bytes, &memory.layout};
}

}  // namespace honed
