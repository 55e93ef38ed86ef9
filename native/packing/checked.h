// Sizes that are multiplied before anything else has bounded them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace honed {

// a * b. Throws std::invalid_argument naming the field where that passes 64 bits.
inline int64_t product(const char* field, int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    throw std::invalid_argument(std::string(field) + " = " + std::to_string(a) + " * " + std::to_string(b) +
                                ": must fit 64 bits");
  }
  return result;
}

}  // namespace honed
