// What the ops of a plan ask the executor to keep for them, collected before the first step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "plan/plan.h"

namespace honed {

// Query heads, and the heads of keys and values that groups of them share.
struct Heads {
  int64_t heads, kv_heads, head_dim;
  int64_t group() const { return heads / kv_heads; }
};

// cos and sin of the positions of a step, for these inverse frequencies.
struct Rotation {
  const float* inverse_frequencies;
  int64_t half;  // how many there are
  float factor;
};

class Needs {
 public:
  explicit Needs(const Plan& plan);  // asks every op of a checked plan

  // For ops, while they are asked.
  const Weight& weight(WeightNumber number) const { return *plan_.weights[static_cast<std::size_t>(number)]; }
  const float* vector(WeightNumber number) const { return reinterpret_cast<const float*>(weight(number).buffer.data()); }
  void scratch(int64_t floats) { scratch_floats_ = std::max(scratch_floats_, floats); }  // for each thread
  void attend(const Heads& heads) { attentions_.push_back(heads); }
  void rotate(const Rotation& rotation);
  void keep_keys(const CacheShape& shape);  // of the rows of a step, until it ends
  void stream(const Weight& matrix) { streams_[op_] = &matrix; }  // panels that all threads share, asked for early

  // For the executor.
  int64_t scratch_floats() const { return scratch_floats_; }
  const std::vector<Heads>& attentions() const { return attentions_; }
  const std::vector<Rotation>& rotations() const { return rotations_; }  // each once
  const std::vector<std::size_t>& rotation_of_op() const { return rotation_of_op_; }
  const std::vector<CacheShape>& kept_keys() const { return kept_keys_; }  // each once
  CacheNumber kept_keys_of_op(std::size_t op) const { return kept_keys_of_op_[op]; }
  const std::vector<const Weight*>& streams() const { return streams_; }  // of each op, null where it has none

 private:
  const Plan& plan_;
  std::size_t op_ = 0;
  int64_t scratch_floats_ = 0;
  std::vector<Heads> attentions_;
  std::vector<Rotation> rotations_;
  std::vector<std::size_t> rotation_of_op_;
  std::vector<CacheShape> kept_keys_;
  std::vector<CacheNumber> kept_keys_of_op_;
  std::vector<const Weight*> streams_;
};

}  // namespace honed
