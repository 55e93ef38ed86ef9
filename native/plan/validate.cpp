// The checks of a plan as a whole; those of each op are its own, in executor/ops/.
#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>

#include "plan/check.h"
#include "plan/limits.h"

namespace honed {
namespace {

void require(bool ok, const std::string& field, int64_t value, const std::string& expected) {
  if (!ok) throw std::invalid_argument("plan: " + field + " = " + std::to_string(value) + ": " + expected);
}

void require_range(const std::string& field, int64_t value, int64_t least, int64_t most) {
  require(value >= least && value <= most, field, value,
          "must be from " + std::to_string(least) + " to " + std::to_string(most));
}

void check_slot(const Plan& plan, std::size_t index) {
  const Slot& slot = plan.slots[index];
  const std::string name = "slot " + std::to_string(index) + " ";
  const auto kind = static_cast<int64_t>(slot.kind);
  const auto rows = static_cast<int64_t>(slot.rows);
  require(kind >= 0 && kind <= 2, name + "kind", kind, "must be 0 (f32), 1 (quantized) or 2 (routing)");
  require(rows >= 0 && rows <= 2, name + "rows", rows, "must be 0 (tokens), 1 (selected) or 2 (sequences)");
  require_range(name + "width", slot.width, 1, kMostWidth);
  require_range(name + "stretch", slot.stretch, 0, static_cast<int64_t>(plan.slots.size()) - 1);
  const int64_t group = slot.activation_group;
  require_range(name + "copies", slot.copies, 1, slot.kind == SlotKind::routing ? 1 : kMostChosen);
  if (slot.kind == SlotKind::routing) {
    require_range(name + "experts", slot.experts, 1, kMostExperts);
    require_range(name + "width", slot.width, 1, std::min(slot.experts, kMostChosen));
  } else {
    require(slot.experts == 0, name + "experts", slot.experts, "must be 0 for a slot that is no routing");
  }
  if (slot.kind != SlotKind::quantized) {
    require(group == 0, name + "activation_group", group, "must be 0 for a slot that is not quantized");
  } else {
    require(group == 0 || group == 32 || group == 64 || group == 128, name + "activation_group", group,
            "must be 0, 32, 64 or 128");
  }
}

// Names are how a batch gives inputs and gets outputs.
void check_name(const std::string& what, const std::string& name, std::set<std::string>& taken) {
  if (name.empty()) throw std::invalid_argument("plan: " + what + " name is empty: must be a word");
  if (!taken.insert(name).second) throw std::invalid_argument("plan: " + what + " name = '" + name + "': is taken");
}

void check_inputs(const Plan& plan) {
  require_range("inputs", static_cast<int64_t>(plan.inputs.size()), 0, kMostNames);
  std::set<std::string> taken;
  for (const Input& input : plan.inputs) {
    check_name("input", input.name, taken);
    const std::string of = "input '" + input.name + "' ";
    const bool ids = input.kind == InputKind::ids;
    require(ids || input.name != kPositions, of + "kind", static_cast<int64_t>(input.kind), "must be ids, positions are");
    require_range(of + (ids ? "bound" : "width"), input.size, 1, ids ? kMostIds : kMostWidth);
  }
}

void check_outputs(const Plan& plan, const Contents& contents) {
  require_range("outputs", static_cast<int64_t>(plan.outputs.size()), 1, kMostNames);
  std::set<std::string> taken;
  std::set<SlotNumber> slots;
  for (const Output& output : plan.outputs) {
    check_name("output", output.name, taken);
    const std::string of = "output '" + output.name + "' slot";
    require_range(of, output.slot, 0, static_cast<int64_t>(plan.slots.size()) - 1);
    const Slot& slot = plan.slot_of(output);
    require(slot.kind == SlotKind::f32 && slot.copies == 1, of, output.slot, "must be an f32 slot without copies");
    require(slots.insert(output.slot).second, of, output.slot, "is another output too");
    const int64_t written = contents.columns_written(output.slot);
    require(written == slot.width, of, output.slot,
            "the ops must write all " + std::to_string(slot.width) + " columns of it, not " + std::to_string(written));
  }
}

void check_cache(const Plan& plan, std::size_t index) {
  const CacheShape& shape = plan.caches[index];
  const std::string name = "cache " + std::to_string(index) + " ";
  require_range(name + "kv_heads", shape.kv_heads, 1, kMostHeads);
  require_range(name + "key_width", shape.key_width, 1, kMostHeadDim);
  require(shape.value_width == shape.key_width, name + "value_width", shape.value_width,
          "must be the key_width " + std::to_string(shape.key_width));
}

void check_sizes(const Plan& plan) {
  require_range("ops", static_cast<int64_t>(plan.ops.size()), 1, kMostOps);
  require_range("slots", static_cast<int64_t>(plan.slots.size()), 1, kMostSlots);
  require_range("caches", static_cast<int64_t>(plan.caches.size()), 0, kMostCaches);
  for (std::size_t i = 0; i < plan.caches.size(); ++i) check_cache(plan, i);
  check_inputs(plan);
  for (std::size_t i = 0; i < plan.slots.size(); ++i) check_slot(plan, i);
  for (std::size_t i = 0; i < plan.weights.size(); ++i) {
    require(plan.weights[i] != nullptr, "weight", static_cast<int64_t>(i), "is missing");
  }
}

}  // namespace

bool Plan::has_rows(Rows rows) const {
  return std::any_of(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.rows == rows; });
}

void validate(const Plan& plan) {
  check_sizes(plan);
  Contents contents(plan);
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    const NamedOp& named = plan.ops[i];
    Check check({i, named.name}, plan, contents);
    named.op->check(check);
  }
  check_outputs(plan, contents);
}

}  // namespace honed
