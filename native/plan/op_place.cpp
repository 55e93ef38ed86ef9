#include "plan/op_place.h"

#include <stdexcept>

namespace honed {

std::string OpPlace::text() const { return "op " + std::to_string(index) + " (" + name + "): "; }

void OpPlace::reject(const std::string& field, const std::string& value, const std::string& expected) const {
  throw std::invalid_argument(text() + field + " = " + value + ": " + expected);
}

void OpPlace::require(bool ok, const std::string& field, int64_t value, const std::string& expected) const {
  if (!ok) reject(field, std::to_string(value), expected);
}

}  // namespace honed
