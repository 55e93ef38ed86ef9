// cos and sin of a step, once for each distinct set of inverse frequencies.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/threads.h"
#include "plan/plan.h"

namespace honed {

class Rotary {
 public:
  explicit Rotary(const Plan& plan);

  // Fills the tables for the rows of a step: cos(float(position) * inv_freq) in double, rounded, times the factor.
  void prepare(const int32_t* positions, int64_t rows, Threads& threads);

  // [rows][rotary_dim / 2] for the rope_kv op with this index in the plan.
  const float* cos(std::size_t op) const { return tables_[table_of_op_[op]].cos.data(); }
  const float* sin(std::size_t op) const { return tables_[table_of_op_[op]].sin.data(); }

 private:
  struct Table {
    const float* inv_freq;
    int64_t half;
    float factor;
    std::vector<float> cos;
    std::vector<float> sin;
  };
  std::vector<Table> tables_;
  std::vector<std::size_t> table_of_op_;
};

}  // namespace honed
