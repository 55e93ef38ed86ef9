#include "plan/check.h"

#include <algorithm>
#include <utility>

#include "plan/names.h"

namespace honed {

Contents::Contents(const Plan& plan)
    : plan_(plan),
      written_(plan.slots.size()),
      slots_of_stretch_(plan.slots.size()),
      caches_(plan.caches.size(), false) {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    slots_of_stretch_[static_cast<std::size_t>(plan.slots[i].stretch)].push_back(static_cast<SlotNumber>(i));
  }
}

void Contents::write(SlotNumber slot, int64_t first, int64_t end) {
  const int32_t stretch = plan_.slots[static_cast<std::size_t>(slot)].stretch;
  for (const SlotNumber other : slots_of_stretch_[static_cast<std::size_t>(stretch)]) {
    if (other != slot) written_[static_cast<std::size_t>(other)].clear();
  }
  auto& runs = written_[static_cast<std::size_t>(slot)];
  for (auto run = runs.begin(); run != runs.end();) {
    if (run->first > end || run->second < first) {
      ++run;
      continue;
    }
    first = std::min(first, run->first);
    end = std::max(end, run->second);
    run = runs.erase(run);
  }
  runs.emplace(first, end);
}

int64_t Contents::columns_written(SlotNumber slot) const {
  const auto& runs = written_[static_cast<std::size_t>(slot)];
  return runs.empty() || runs.begin()->first > 0 ? 0 : runs.begin()->second;
}

bool Contents::keys_written(const CacheShape& shape) const {
  return std::find(keys_.begin(), keys_.end(), shape) != keys_.end();
}

void Contents::write_keys(const CacheShape& shape) {
  if (!keys_written(shape)) keys_.push_back(shape);
}

Check::Check(OpPlace place, const Plan& plan, Contents& contents)
    : place_(std::move(place)), plan_(plan), contents_(contents) {}

void Check::reject(const std::string& field, int64_t value, const std::string& expected) const {
  place_.reject(field, std::to_string(value), expected);
}

void Check::reject(const std::string& field, const std::string& value, const std::string& expected) const {
  place_.reject(field, value, expected);
}

void Check::require(bool ok, const std::string& field, int64_t value, const std::string& expected) const {
  place_.require(ok, field, value, expected);
}

const Slot& Check::slot(const char* field, SlotNumber number, SlotKind kind) const {
  require(number >= 0 && number < static_cast<int64_t>(plan_.slots.size()), field, number,
          "must be a slot from 0 to " + std::to_string(plan_.slots.size() - 1));
  const Slot& found = slot_of(number);
  require(found.kind == kind, field, number,
          std::string("must be a slot of kind ") + kSlotNames[static_cast<std::size_t>(kind)]);
  return found;
}

void Check::rows_are(const char* field, SlotNumber number, Rows rows) const {
  require(slot_of(number).rows == rows && slot_of(number).copies == 1, field, number,
          std::string("must be a slot of ") + kRowsNames[static_cast<std::size_t>(rows)] + " rows, one for each");
}

void Check::same_rows(SlotNumber input, SlotNumber output) const {
  const Slot& from = slot_of(input);
  const Slot& to = slot_of(output);
  require(to.rows == from.rows && to.copies == from.copies, "output", output,
          std::string("must be a slot of ") + kRowsNames[static_cast<std::size_t>(from.rows)] + " rows, " +
              std::to_string(from.copies) + " for each, as the input");
}

const Slot& Check::routing(const char* field, SlotNumber number) const {
  const Slot& found = slot(field, number, SlotKind::routing);
  reads(number, found.width);
  return found;
}

void Check::copies_are(const char* field, SlotNumber number, SlotNumber routing) const {
  const Slot& by = slot_of(routing);
  require(slot_of(number).rows == by.rows && slot_of(number).copies == by.width, field, number,
          "must have " + std::to_string(by.width) + " rows for each that is routed");
}

void Check::apart(SlotNumber input, SlotNumber output) const {
  const int32_t stretch = slot_of(input).stretch;
  require(slot_of(output).stretch != stretch, "output", output,
          "must not share stretch " + std::to_string(stretch) + " with the input");
}

void Check::in_place(SlotNumber input, SlotNumber output) const {
  if (input != output) apart(input, output);
}

const Weight& Check::weight(const char* field, WeightNumber number) const {
  require(number >= 0 && number < static_cast<int64_t>(plan_.weights.size()), field, number,
          "must be a weight number under " + std::to_string(plan_.weights.size()));
  return *plan_.weights[static_cast<std::size_t>(number)];
}

const Input& Check::input(const char* field, InputNumber number, InputKind kind) const {
  require(number >= 0 && number < static_cast<int64_t>(plan_.inputs.size()), field, number,
          "must be the number of an input under " + std::to_string(plan_.inputs.size()));
  const Input& found = plan_.inputs[static_cast<std::size_t>(number)];
  require(found.kind == kind, field, number,
          std::string("must be an input of ") + kInputNames[static_cast<std::size_t>(kind)]);
  return found;
}

void Check::vector(const char* field, WeightNumber number, int64_t length) const {
  const Weight& found = weight(field, number);
  require(found.kind == WeightKind::vector, field, number,
          std::string("must be a vector, not ") + traits(found.kind).name);
  require(found.rows == length, std::string(field) + " length", found.rows, "must be " + std::to_string(length));
}

void Check::vector(const char* field, std::optional<WeightNumber> number, int64_t length) const {
  if (number) vector(field, *number, length);
}

void Check::reads(SlotNumber number, int64_t columns) const {
  const std::string field = "slot " + std::to_string(number) + " columns";
  const int64_t width = slot_of(number).width;
  require(columns <= width, field, columns, "the slot is " + std::to_string(width) + " wide");
  const int64_t written = contents_.columns_written(number);
  require(columns <= written, field, columns,
          "read here, but only " + std::to_string(written) +
              " hold values that an earlier op wrote and no other slot of the stretch has overwritten");
}

void Check::writes(SlotNumber number, int64_t first, int64_t end) {
  const int64_t width = slot_of(number).width;
  require(end <= width, "output columns", end, "slot " + std::to_string(number) + " is " + std::to_string(width) + " wide");
  contents_.write(number, first, end);
}

void Check::reads_keys(std::optional<CacheNumber> cache, const CacheShape& shape) const {
  if (cache) {
    require(contents_.cache_written(*cache), "cache", *cache, "no op before this one writes its keys");
  } else if (!contents_.keys_written(shape)) {
    reject("cache", "none", "no op before this one writes keys of such heads for the step");
  }
}

void Check::writes_keys(std::optional<CacheNumber> cache, const CacheShape& shape) {
  if (cache) return contents_.write_cache(*cache);
  contents_.write_keys(shape);
}

}  // namespace honed
