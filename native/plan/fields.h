// The named fields of an op, as they are given and as an op reads them: each by its name and in its type, none left
// out and none left over. What a field says of slots and weights is held against the plan later (plan/check.h).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "plan/op.h"
#include "plan/op_place.h"

namespace honed {

// monostate: given as none, which only a field that may be absent takes.
using FieldValue = std::variant<std::monostate, int64_t, double, std::string, std::vector<int64_t>>;

class WrongFieldType : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

class Fields {
 public:
  Fields(OpPlace place, std::map<std::string, FieldValue> values);

  // Each throws std::invalid_argument for a field that is missing or out of range, WrongFieldType for one of another
  // type; all name op, field, value and what would be right.
  int64_t integer(const char* name, int64_t least, int64_t most);
  std::optional<int64_t> integer_or_none(const char* name, int64_t least, int64_t most);
  float number(const char* name);    // finite, once rounded to float
  float positive(const char* name);  // over 0 too
  int64_t activation_group();        // 0 (one scale a row), 32, 64 or 128
  SlotNumber slot(const char* name);
  WeightNumber weight(const char* name);
  InputNumber input(const char* name);
  std::optional<WeightNumber> weight_or_none(const char* name);
  std::vector<WeightNumber> weights(const char* name);          // 1 to kMostExperts
  std::vector<WeightNumber> weights_or_none(const char* name);  // empty for none
  template <typename Enum, std::size_t count>  // whose values count from 0, in the order of their names
  Enum choice(const char* name, const std::array<const char*, count>& names) {
    return static_cast<Enum>(position(name, names));
  }

  // Throws std::invalid_argument for a field that was not read.
  void finish() const;

 private:
  const FieldValue* find(const char* name);  // null where it is missing; notes that it was read
  bool read_none(const char* name);          // whether it is none; notes that it was read where it is
  int64_t number_of(const char* what, const char* name);
  std::size_t position(const char* name, std::span<const char* const> names);
  [[noreturn]] void reject(const char* name, const FieldValue* value, const std::string& expected) const;

  OpPlace place_;
  std::map<std::string, FieldValue> values_;
  std::vector<const char*> read_;
};

}  // namespace honed
