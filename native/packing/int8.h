// Packs int8 codes into tiles of quads: 4 consecutive k of 16 columns in each run of 64 bytes.
#pragma once

#include <cstdint>
#include <memory>

#include "executor/threads.h"
#include "packing/placement.h"
#include "plan/weight.h"

namespace honed {

// The packed form of n columns of depth k, without panels and with scales of zero. group 0: one scale a column; else
// 32, 64 or 128. Throws std::invalid_argument for sizes out of range.
Weight int8_layout(int64_t n, int64_t k, int64_t group);

class Int8Builder {
 public:
  // Throws as int8_layout.
  Int8Builder(int64_t n, int64_t k, int64_t group, int threads);

  // codes [rows][k]; scales f32 [rows] with group 0, else f16 bits [rows][groups()]. Throws std::invalid_argument,
  // with nothing placed, for a scale that is not finite, for code -128 with group 0, or as Columns::check.
  void place(const int8_t* codes, const float* scales, const Placement& placement);
  void place(const int8_t* codes, const uint16_t* scales, const Placement& placement);
  std::shared_ptr<const Weight> finish();

  int64_t k() const { return columns_.k(); }
  int64_t group() const { return group_; }
  int64_t groups() const { return group_ == 0 ? 1 : (columns_.k() + group_ - 1) / group_; }

 private:
  void check_codes(const int8_t* codes, const Placement& placement);
  void pack(const int8_t* codes, const Placement& placement);

  Columns columns_;
  int64_t group_;
  Threads threads_;
  std::shared_ptr<Weight> weight_;
};

}  // namespace honed
