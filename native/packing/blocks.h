// Packs GGUF blocks whose scales are products: codes, the factors of their super-blocks, and the levels of their groups.
#pragma once

#include <cstdint>
#include <memory>

#include "executor/threads.h"
#include "packing/placement.h"
#include "plan/weight.h"

namespace honed {

// The packed form of n columns of depth k, without panels. Throws std::invalid_argument for sizes out of range; k must
// be a multiple of the depth of a super-block.
Weight blocks_layout(int64_t n, int64_t k, BlockForm form);

// The arrays of some rows. `m` is null for a form without minimums, `levels` for one without levels.
struct BlockRows {
  const uint8_t* codes;   // [rows][k]
  const uint16_t* d;      // f16 bits, [rows][super_blocks()]
  const uint16_t* m;      // the same
  const uint8_t* levels;  // [rows][k / 32][2]: scale and minimum, or where groups are of 16 the levels of both; with
                          // values of 32 k [rows][k / 32]
};

class BlocksBuilder {
 public:
  // Throws as blocks_layout.
  BlocksBuilder(int64_t n, int64_t k, BlockForm form, int threads);

  // Throws std::invalid_argument, with nothing placed, for a code over the largest of the form, a factor that is not
  // finite, arrays that the form lacks or needs, or as Columns::check.
  void place(const BlockRows& rows, const Placement& placement);
  std::shared_ptr<const Weight> finish();

  int64_t k() const { return columns_.k(); }
  int64_t super_blocks() const { return columns_.k() / shape_.depth; }
  const BlockShape& shape() const { return shape_; }
  int64_t levels() const { return columns_.k() / kBlock * block_levels(shape_); }

  // Of 32 k.
  static int64_t block_levels(const BlockShape& shape) { return shape.level_bytes == kPanelColumns ? 1 : 2; }

 private:
  void check_values(const BlockRows& rows, const Placement& placement);
  void pack_row(const BlockRows& rows, int64_t row, int64_t column) noexcept;

  Columns columns_;
  BlockForm form_;
  BlockShape shape_;
  Threads threads_;
  std::shared_ptr<Weight> weight_;
};

}  // namespace honed
