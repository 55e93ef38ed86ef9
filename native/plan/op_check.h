// The checks of one op, used by validate.cpp. Ops are checked in order, while `Contents` follows what each slot holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace honed {

// Which columns of each slot, counted from 0 without gaps, hold values that an earlier op wrote. Writing to a slot
// ends the contents of every other slot of its stretch.
class Contents {
 public:
  explicit Contents(const Plan& plan);
  int64_t columns_written(int32_t slot) const { return written_[static_cast<std::size_t>(slot)]; }
  void write(int32_t slot, int64_t first, int64_t end);
  bool layer_written(int64_t layer) const { return layers_[static_cast<std::size_t>(layer)]; }
  void write_layer(int64_t layer) { layers_[static_cast<std::size_t>(layer)] = true; }

 private:
  const Plan& plan_;
  std::vector<int64_t> written_;
  std::vector<std::vector<int32_t>> slots_of_stretch_;
  std::vector<bool> layers_;
};

class OpCheck {
 public:
  OpCheck(const Plan& plan, std::size_t index, Contents& contents);
  void check();  // throws std::invalid_argument; else notes what the op writes

 private:
  [[noreturn]] void reject(const std::string& field, const std::string& value, const std::string& expected) const;
  void require(bool ok, const std::string& field, int64_t value, const std::string& expected) const;

  int64_t size(int index, const char* name, int64_t least, int64_t most) const;
  void unused_sizes(int first) const;
  void activation_group(int index) const;
  void scalar(int index, const char* name, bool positive) const;
  const Slot& slot(const char* field, int32_t number, SlotKind kind) const;
  void same_rows() const;
  void rows_are(const char* field, int32_t number, Rows rows) const;
  void reads(int32_t number, int64_t columns) const;
  void writes(const Slot& slot, int64_t first, int64_t end) const;
  void apart() const;     // input and output may not share memory
  void in_place() const;  // they may be one slot, else not share memory
  const Weight& weight(int index, const char* name) const;
  void vector(int index, const char* name, int64_t length, bool optional) const;
  void no_weights(int first) const;

  void embed();
  void rms_norm();
  void quantize(bool with_norm);
  void matmul();
  void matmul_weight(const Weight& matrix, bool quantized) const;
  void heads(bool rope) const;
  void rope_kv();
  void attention();
  void gated();
  void add();
  void select();

  const Plan& plan_;
  const Op& op_;
  std::size_t index_;
  Contents& contents_;
};

}  // namespace honed
