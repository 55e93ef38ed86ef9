// Rows start at multiples of 64 bytes, so that a row is whole cache lines and whole vectors of any width.
#include "executor/arena.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace honed {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kMostRows = int64_t{1} << 20;
constexpr int64_t kRoutingBytes = 12;  // of an expert: its number, weight and place (executor/ops/routing.h)
constexpr int64_t kMostBytes = int64_t{1} << 42;

void check_rows(const char* name, int64_t rows) {
  if (rows < 1 || rows > kMostRows) {
    throw std::invalid_argument(std::string(name) + " = " + std::to_string(rows) + ": must be from 1 to " +
                                std::to_string(kMostRows));
  }
}

}  // namespace

Arena::Arena(const Plan& plan, int64_t max_tokens, int64_t max_selected) {
  check_rows("max_tokens", max_tokens);
  check_rows("max_selected", max_selected);
  std::vector<int64_t> stretches(plan.slots.size(), 0);
  slots_.resize(plan.slots.size());
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    slots_[static_cast<std::size_t>(plan.outputs[i].slot)].output = i;
  }
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const Slot& slot = plan.slots[i];
    SlotMemory& memory = slots_[i];
    if (memory.output) {
      memory.row_bytes = slot.width * 4;
      continue;
    }
    if (slot.kind == SlotKind::quantized) {
      memory.layout = quantized_row(slot.width, slot.activation_group);
      memory.row_bytes = memory.layout.bytes;
    } else if (slot.kind == SlotKind::routing) {
      memory.row_bytes = (slot.width * kRoutingBytes + kAlignment - 1) / kAlignment * kAlignment;
    } else {
      memory.row_bytes = (slot.width * 4 + kAlignment - 1) / kAlignment * kAlignment;
    }
    int64_t& stretch = stretches[static_cast<std::size_t>(slot.stretch)];
    stretch = std::max(stretch, memory.row_bytes * slot.copies * (slot.rows == Rows::selected ? max_selected : max_tokens));
  }
  std::vector<int64_t> offsets(stretches.size(), 0);
  int64_t total = 0;
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    offsets[i] = total;
    total += stretches[i];
    if (total > kMostBytes) {
      throw std::invalid_argument("max_tokens = " + std::to_string(max_tokens) + " and max_selected = " +
                                  std::to_string(max_selected) + ": the activations of this plan would pass 4 TiB");
    }
  }
  buffer_ = AlignedBuffer(static_cast<std::size_t>(std::max(total, kAlignment)));
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    if (!slots_[i].output) slots_[i].data = buffer_.data() + offsets[static_cast<std::size_t>(plan.slots[i].stretch)];
  }
}

}  // namespace honed
