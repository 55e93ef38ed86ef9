// Packs int4 codes in groups, two codes a byte, scales and offsets beside the codes of their group. Indices of a codebook
// are packed the same way.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "executor/threads.h"
#include "packing/placement.h"
#include "plan/weight.h"

namespace honed {

// The packed form of n columns of depth k, without panels. Throws std::invalid_argument for sizes out of range.
Weight int4_layout(int64_t n, int64_t k, int64_t group, Int4Offset offset);

using Codebook = std::array<int8_t, 16>;

// The packed form of indices of a codebook. Throws as int4_layout.
Weight codebook_layout(int64_t n, int64_t k, int64_t group, const Codebook& codebook);

class Int4Builder {
 public:
  // Of int4, or of indices of a codebook, which take no offsets. Throws std::invalid_argument for sizes out of range.
  Int4Builder(int64_t n, int64_t k, int64_t group, const Codebook& codebook, int threads);
  Int4Builder(int64_t n, int64_t k, int64_t group, Int4Offset offset, int threads);

  // codes [rows][k], one a byte; scales f16 bits [rows][groups()]; offsets [rows][groups()]: uint8 zero points, f16
  // bits of minimums, or null, as `offset` says. Throws std::invalid_argument, with nothing placed, for a code over
  // 15, a scale or minimum that is not finite, or as Columns::check.
  void place(const uint8_t* codes, const uint16_t* scales, const void* offsets, const Placement& placement);
  std::shared_ptr<const Weight> finish();

  int64_t k() const { return columns_.k(); }
  int64_t groups() const { return (columns_.k() + group_ - 1) / group_; }
  Int4Offset offset() const { return offset_; }

 private:
  void check_values(const uint8_t* codes, const uint16_t* scales, const void* offsets, const Placement& placement);
  int64_t group_bytes() const;

  Columns columns_;
  int64_t group_;
  Int4Offset offset_;
  Threads threads_;
  std::shared_ptr<Weight> weight_;
};

}  // namespace honed
