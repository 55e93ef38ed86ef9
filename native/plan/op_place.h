// Which op of a plan an error is about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace honed {

struct OpPlace {
  std::size_t index;
  std::string name;

  std::string text() const;  // "op 3 (matmul): "

  // Throws std::invalid_argument naming op, field, value and what would be right.
  [[noreturn]] void reject(const std::string& field, const std::string& value, const std::string& expected) const;
  void require(bool ok, const std::string& field, int64_t value, const std::string& expected) const;
};

}  // namespace honed
