// The parts that the checks of all ops share: fields in range, slots of the right kind and width, weights that fit.
#include "plan/op_check.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "plan/names.h"

namespace honed {

Contents::Contents(const Plan& plan)
    : plan_(plan),
      written_(plan.slots.size(), 0),
      slots_of_stretch_(plan.slots.size()),
      layers_(static_cast<std::size_t>(plan.layers), false) {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    slots_of_stretch_[static_cast<std::size_t>(plan.slots[i].stretch)].push_back(static_cast<int32_t>(i));
  }
}

void Contents::write(int32_t slot, int64_t first, int64_t end) {
  const int32_t stretch = plan_.slots[static_cast<std::size_t>(slot)].stretch;
  for (const int32_t other : slots_of_stretch_[static_cast<std::size_t>(stretch)]) {
    if (other != slot) written_[static_cast<std::size_t>(other)] = 0;
  }
  int64_t& written = written_[static_cast<std::size_t>(slot)];
  if (first <= written) written = std::max(written, end);
}

OpCheck::OpCheck(const Plan& plan, std::size_t index, Contents& contents)
    : plan_(plan), op_(plan.ops[index]), index_(index), contents_(contents) {}

void OpCheck::reject(const std::string& field, const std::string& value, const std::string& expected) const {
  const auto code = static_cast<std::size_t>(op_.code);
  const std::string name = code < kOpNames.size() ? kOpNames[code] : "?";
  throw std::invalid_argument("op " + std::to_string(index_) + " (" + name + "): " + field + " = " + value + ": " +
                              expected);
}

void OpCheck::require(bool ok, const std::string& field, int64_t value, const std::string& expected) const {
  if (!ok) reject(field, std::to_string(value), expected);
}

int64_t OpCheck::size(int index, const char* name, int64_t least, int64_t most) const {
  const int64_t value = op_.sizes[index];
  require(value >= least && value <= most, name, value,
          "must be from " + std::to_string(least) + " to " + std::to_string(most));
  return value;
}

void OpCheck::unused_sizes(int first) const {
  for (int i = first; i < 5; ++i) {
    require(op_.sizes[i] == 0, "sizes[" + std::to_string(i) + "]", op_.sizes[i], "must be 0, this op has no such size");
  }
}

void OpCheck::activation_group(int index) const {
  const int64_t group = op_.sizes[index];
  require(group == 0 || group == 32 || group == 64 || group == 128, "activation_group", group,
          "must be 0 (one scale a row), 32, 64 or 128");
}

void OpCheck::scalar(int index, const char* name, bool positive) const {
  const float value = op_.scalars[index];
  if (!std::isfinite(value)) reject(name, std::to_string(value), "must be finite");
  if (positive && !(value > 0)) reject(name, std::to_string(value), "must be over 0");
}

const Slot& OpCheck::slot(const char* field, int32_t number, SlotKind kind) const {
  require(number >= 0 && number < static_cast<int64_t>(plan_.slots.size()), field, number,
          "must be a slot from 0 to " + std::to_string(plan_.slots.size() - 1));
  const Slot& found = plan_.slots[static_cast<std::size_t>(number)];
  if (found.kind != kind) {
    reject(field, std::to_string(number),
           std::string("must be a slot of kind ") + kSlotNames[static_cast<std::size_t>(kind)]);
  }
  return found;
}

void OpCheck::rows_are(const char* field, int32_t number, Rows rows) const {
  if (plan_.slots[static_cast<std::size_t>(number)].rows != rows) {
    reject(field, std::to_string(number),
           std::string("must be a slot of ") + kRowsNames[static_cast<std::size_t>(rows)] + " rows");
  }
}

void OpCheck::same_rows() const {
  rows_are("output", op_.output, plan_.slots[static_cast<std::size_t>(op_.input)].rows);
}

void OpCheck::reads(int32_t number, int64_t columns) const {
  const std::string field = "slot " + std::to_string(number) + " columns";
  const int64_t width = plan_.slots[static_cast<std::size_t>(number)].width;
  require(columns <= width, field, columns, "the slot is " + std::to_string(width) + " wide");
  const int64_t written = contents_.columns_written(number);
  require(columns <= written, field, columns,
          "read here, but only " + std::to_string(written) +
              " hold values that an earlier op wrote and no other slot of the stretch has overwritten");
}

void OpCheck::writes(const Slot& slot, int64_t first, int64_t end) const {
  require(end <= slot.width, "output columns", end,
          "slot " + std::to_string(op_.output) + " is " + std::to_string(slot.width) + " wide");
  contents_.write(op_.output, first, end);
}

void OpCheck::apart() const {
  const int32_t stretch = plan_.slots[static_cast<std::size_t>(op_.input)].stretch;
  require(plan_.slots[static_cast<std::size_t>(op_.output)].stretch != stretch, "output", op_.output,
          "must not share stretch " + std::to_string(stretch) + " with the input");
}

void OpCheck::in_place() const {
  if (op_.input != op_.output) apart();
}

const Weight& OpCheck::weight(int index, const char* name) const {
  const int32_t number = op_.weights[index];
  require(number >= 0 && number < static_cast<int64_t>(plan_.weights.size()), name, number,
          "must be a weight number under " + std::to_string(plan_.weights.size()));
  return *plan_.weights[static_cast<std::size_t>(number)];
}

void OpCheck::vector(int index, const char* name, int64_t length, bool optional) const {
  if (optional && op_.weights[index] == kNoWeight) return;
  const Weight& found = weight(index, name);
  if (found.kind != WeightKind::vector) {
    reject(name, std::to_string(op_.weights[index]),
           std::string("must be a vector, not ") + kWeightNames[static_cast<std::size_t>(found.kind)]);
  }
  require(found.rows == length, std::string(name) + " length", found.rows, "must be " + std::to_string(length));
}

void OpCheck::no_weights(int first) const {
  for (int i = first; i < 3; ++i) {
    require(op_.weights[i] == kNoWeight, "weights[" + std::to_string(i) + "]", op_.weights[i],
            "must be none (-1), this op has no such weight");
  }
}

}  // namespace honed
