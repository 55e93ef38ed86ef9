#include "plan/fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/kernel_table.h"

namespace honed {
namespace {

std::string text(const FieldValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* number = std::get_if<double>(&value)) return std::to_string(*number);
  if (const auto* name = std::get_if<std::string>(&value)) return "'" + *name + "'";
  if (const auto* numbers = std::get_if<std::vector<int64_t>>(&value)) {
    return "a list of " + std::to_string(numbers->size());
  }
  return "none";
}

std::string list(std::span<const char* const> names) {
  std::string joined;
  for (const char* name : names) joined += (joined.empty() ? "" : ", ") + std::string(name);
  return joined;
}

std::string from_to(int64_t least, int64_t most) { return std::to_string(least) + " to " + std::to_string(most); }

}  // namespace

Fields::Fields(OpPlace place, std::map<std::string, FieldValue> values)
    : place_(std::move(place)), values_(std::move(values)) {}

const FieldValue* Fields::find(const char* name) {
  read_.push_back(name);
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

void Fields::reject(const char* name, const FieldValue* value, const std::string& expected) const {
  if (value == nullptr) throw std::invalid_argument(place_.text() + name + " is missing: must be " + expected);
  throw WrongFieldType(place_.text() + name + " = " + text(*value) + ": must be " + expected);
}

int64_t Fields::integer(const char* name, int64_t least, int64_t most) {
  const FieldValue* given = find(name);
  const auto* integer = std::get_if<int64_t>(given);
  if (integer == nullptr) reject(name, given, "an integer from " + from_to(least, most));
  if (*integer < least || *integer > most) place_.reject(name, text(*given), "must be from " + from_to(least, most));
  return *integer;
}

std::optional<int64_t> Fields::integer_or_none(const char* name, int64_t least, int64_t most) {
  if (read_none(name)) return std::nullopt;
  return integer(name, least, most);
}

float Fields::number(const char* name) {
  const FieldValue* given = find(name);
  const auto* integer = std::get_if<int64_t>(given);
  const auto* number = std::get_if<double>(given);
  if (integer == nullptr && number == nullptr) reject(name, given, "a number");
  const auto rounded = integer != nullptr ? static_cast<float>(*integer) : static_cast<float>(*number);
  if (!std::isfinite(rounded)) place_.reject(name, std::to_string(rounded), "must be finite");
  return rounded;
}

float Fields::positive(const char* name) {
  const float value = number(name);
  if (!(value > 0)) place_.reject(name, std::to_string(value), "must be over 0");
  return value;
}

int64_t Fields::activation_group() {
  constexpr const char* kName = "activation_group";
  constexpr const char* kExpected = "0 (one scale a row), 32, 64 or 128";
  const FieldValue* given = find(kName);
  const auto* group = std::get_if<int64_t>(given);
  if (group == nullptr) reject(kName, given, kExpected);
  if (*group != 0 && *group != 32 && *group != 64 && *group != 128) {
    place_.reject(kName, text(*given), std::string("must be ") + kExpected);
  }
  return *group;
}

SlotNumber Fields::slot(const char* name) { return number_of("a slot", name); }

WeightNumber Fields::weight(const char* name) { return number_of("a weight", name); }

InputNumber Fields::input(const char* name) { return number_of("an input", name); }

std::optional<WeightNumber> Fields::weight_or_none(const char* name) {
  if (read_none(name)) return std::nullopt;
  return weight(name);
}

std::vector<WeightNumber> Fields::weights(const char* name) {
  const FieldValue* given = find(name);
  const auto* numbers = std::get_if<std::vector<int64_t>>(given);
  if (numbers == nullptr) reject(name, given, "a list of numbers of weights");
  const auto count = static_cast<int64_t>(numbers->size());
  if (count < 1 || count > kMostExperts) place_.reject(name, text(*given), "must have from 1 to " + std::to_string(kMostExperts));
  return *numbers;
}

std::vector<WeightNumber> Fields::weights_or_none(const char* name) {
  if (read_none(name)) return {};
  return weights(name);
}

int64_t Fields::number_of(const char* what, const char* name) {
  const FieldValue* given = find(name);
  const auto* number = std::get_if<int64_t>(given);
  if (number == nullptr) reject(name, given, std::string("the number of ") + what);
  return *number;
}

bool Fields::read_none(const char* name) {
  const auto found = values_.find(name);
  if (found == values_.end() || !std::holds_alternative<std::monostate>(found->second)) return false;
  read_.push_back(name);
  return true;
}

std::size_t Fields::position(const char* name, std::span<const char* const> names) {
  const FieldValue* given = find(name);
  const auto* chosen = std::get_if<std::string>(given);
  if (chosen == nullptr) reject(name, given, "one of " + list(names));
  const auto found = std::find(names.begin(), names.end(), *chosen);
  if (found == names.end()) place_.reject(name, text(*given), "must be one of " + list(names));
  return static_cast<std::size_t>(found - names.begin());
}

void Fields::finish() const {
  for (const auto& [name, value] : values_) {
    if (std::find(read_.begin(), read_.end(), name) == read_.end()) {
      place_.reject(name, text(value), "this op has no such field; it has " + list(read_));
    }
  }
}

}  // namespace honed
