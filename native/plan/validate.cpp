// Rejects every plan whose ops could read or write outside their slots, weights or cache, or read what no op wrote.
// The checks of one op are in validate_ops.cpp; here are those of the whole.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "plan/op_check.h"

namespace honed {
namespace {

// Generous bounds under which no product of sizes overflows.
constexpr int64_t kMostOps = 1 << 20;
constexpr int64_t kMostSlots = 1 << 20;
constexpr int64_t kMostWidth = 1 << 24;
constexpr int64_t kMostLayers = 1 << 12;
constexpr int64_t kMostHeads = 1 << 12;
constexpr int64_t kMostHeadDim = 1 << 12;
constexpr int64_t kMostVocabulary = (int64_t{1} << 31) - 1;

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
  require(kind == 0 || kind == 1, name + "kind", kind, "must be 0 (f32) or 1 (quantized)");
  require(rows == 0 || rows == 1, name + "rows", rows, "must be 0 (tokens) or 1 (selected)");
  require_range(name + "width", slot.width, 1, kMostWidth);
  require_range(name + "stretch", slot.stretch, 0, static_cast<int64_t>(plan.slots.size()) - 1);
  const int64_t group = slot.activation_group;
  if (slot.kind == SlotKind::f32) {
    require(group == 0, name + "activation_group", group, "must be 0 for an f32 slot");
  } else {
    require(group == 0 || group == 32 || group == 64 || group == 128, name + "activation_group", group,
            "must be 0, 32, 64 or 128");
  }
}

void check_sizes(const Plan& plan) {
  require_range("ops", static_cast<int64_t>(plan.ops.size()), 1, kMostOps);
  require_range("slots", static_cast<int64_t>(plan.slots.size()), 1, kMostSlots);
  require_range("layers", plan.layers, 1, kMostLayers);
  require_range("kv_heads", plan.kv_heads, 1, kMostHeads);
  require_range("head_dim", plan.head_dim, 1, kMostHeadDim);
  require_range("vocabulary", plan.vocabulary, 1, kMostVocabulary);
  require_range("logits", plan.logits, 1, kMostWidth);
  for (std::size_t i = 0; i < plan.slots.size(); ++i) check_slot(plan, i);
  for (std::size_t i = 0; i < plan.weights.size(); ++i) {
    require(plan.weights[i] != nullptr, "weight", static_cast<int64_t>(i), "is missing");
  }
}

void check_logits(const Plan& plan, const Contents& contents) {
  const int32_t output = plan.ops.back().output;  // in range: its op was checked
  const Slot& slot = plan.slots[static_cast<std::size_t>(output)];
  const std::string name = "slot " + std::to_string(output) + " (the output of the last op) ";
  require(slot.kind == SlotKind::f32, name + "kind", static_cast<int64_t>(slot.kind), "logits must be an f32 slot");
  require(slot.rows == Rows::selected, name + "rows", static_cast<int64_t>(slot.rows),
          "logits must be of selected rows");
  require(slot.width == plan.logits, name + "width", slot.width, "must equal logits = " + std::to_string(plan.logits));
  const int64_t written = contents.columns_written(output);
  require(written == plan.logits, name + "columns written", written,
          "the ops must write all " + std::to_string(plan.logits) + " logits");
}

}  // namespace

void validate(const Plan& plan) {
  check_sizes(plan);
  Contents contents(plan);
  for (std::size_t i = 0; i < plan.ops.size(); ++i) OpCheck(plan, i, contents).check();
  check_logits(plan, contents);
}

}  // namespace honed
