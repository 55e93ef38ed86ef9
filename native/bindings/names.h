// From the strings of the Python side to enumerations.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>

namespace honed::bindings {

// The position of `value` among `names`. Throws std::invalid_argument listing the names.
template <std::size_t count>
std::size_t index_of(const std::array<const char*, count>& names, const char* field, const std::string& value) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) {
    if (value == names[i]) return i;
    list += (list.empty() ? "" : ", ") + std::string(names[i]);
  }
  throw std::invalid_argument(std::string(field) + " = '" + value + "': must be one of " + list);
}

}  // namespace honed::bindings
