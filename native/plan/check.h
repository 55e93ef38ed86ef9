// What the check of an op is made of: its slots and weights are those of the plan, in the kind, rows and width that it
// takes, and everything that it reads was written. Ops are checked in order, while `Contents` follows what each slot
// holds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/op_place.h"
#include "plan/plan.h"

namespace honed {

// Which columns of each slot hold values that an earlier op wrote, in whatever order. Writing to a slot
// ends the contents of every other slot of its stretch.
class Contents {
 public:
  explicit Contents(const Plan& plan);
  // From the first column on, without a gap.
  int64_t columns_written(SlotNumber slot) const;
  void write(SlotNumber slot, int64_t first, int64_t end);
  bool cache_written(CacheNumber cache) const { return caches_[static_cast<std::size_t>(cache)]; }
  void write_cache(CacheNumber cache) { caches_[static_cast<std::size_t>(cache)] = true; }
  bool keys_written(const CacheShape& shape) const;  // those of the step
  void write_keys(const CacheShape& shape);

 private:
  const Plan& plan_;
  std::vector<std::map<int64_t, int64_t>> written_;  // of each slot: first column and end of each run, none of which touch
  std::vector<std::vector<SlotNumber>> slots_of_stretch_;
  std::vector<bool> caches_;
  std::vector<CacheShape> keys_;
};

// Of one op. All throw std::invalid_argument naming op, field, value and what would be right. `slot`, `weight` and `input`
// take any number; the others take slots that `slot` has let pass.
class Check {
 public:
  Check(OpPlace place, const Plan& plan, Contents& contents);

  [[noreturn]] void reject(const std::string& field, int64_t value, const std::string& expected) const;
  [[noreturn]] void reject(const std::string& field, const std::string& value, const std::string& expected) const;
  void require(bool ok, const std::string& field, int64_t value, const std::string& expected) const;
  const Plan& plan() const { return plan_; }

  const Slot& slot(const char* field, SlotNumber number, SlotKind kind) const;
  void rows_are(const char* field, SlotNumber number, Rows rows) const;  // and no copies of them
  void same_rows(SlotNumber input, SlotNumber output) const;
  // A routing that an earlier op wrote, and a slot with a row for each expert that one of its rows goes to.
  const Slot& routing(const char* field, SlotNumber number) const;
  void copies_are(const char* field, SlotNumber number, SlotNumber routing) const;
  void apart(SlotNumber input, SlotNumber output) const;     // may not share memory
  void in_place(SlotNumber input, SlotNumber output) const;  // may be one slot, else not share memory

  const Weight& weight(const char* field, WeightNumber number) const;
  void vector(const char* field, WeightNumber number, int64_t length) const;
  void vector(const char* field, std::optional<WeightNumber> number, int64_t length) const;

  const Input& input(const char* field, InputNumber number, InputKind kind) const;

  void reads(SlotNumber number, int64_t columns) const;
  void writes(SlotNumber number, int64_t first, int64_t end);
  // Of a cache of that shape; without one, the keys and values of the rows of the step, kept while it lasts.
  void reads_keys(std::optional<CacheNumber> cache, const CacheShape& shape) const;
  void writes_keys(std::optional<CacheNumber> cache, const CacheShape& shape);

 private:
  const Slot& slot_of(SlotNumber number) const { return plan_.slots[static_cast<std::size_t>(number)]; }

  OpPlace place_;
  const Plan& plan_;
  Contents& contents_;
};

}  // namespace honed
