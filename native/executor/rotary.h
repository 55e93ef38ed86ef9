// cos and sin of a step, once for each distinct set of inverse frequencies.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/needs.h"
#include "executor/threads.h"

namespace honed {

// [rows][half] each.
struct RotaryTable {
  const float* cos;
  const float* sin;
};

class Rotary {
 public:
  explicit Rotary(const Needs& needs);

  // Fills the tables for the rows of a step: cos(float(position) * inv_freq) in double, rounded, times the factor.
  void prepare(const int32_t* positions, int64_t rows, Threads& threads);

  // Of the op with this index in the plan, which has asked for one.
  RotaryTable table(std::size_t op) const {
    const Table& table = tables_[table_of_op_[op]];
    return {table.cos.data(), table.sin.data()};
  }

 private:
  struct Table {
    Rotation rotation;
    std::vector<float> cos;
    std::vector<float> sin;
  };
  std::vector<Table> tables_;
  std::vector<std::size_t> table_of_op_;
};

}  // namespace honed
