#include "packing/blocks.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>

#include "packing/float_bits.h"
#include "packing/weight_shell.h"

namespace honed {
namespace {

constexpr int64_t kQuadBytes = 64;  // 16 columns of 4 k
constexpr int64_t kQuads = kBlock / 4;
constexpr int64_t kActivationGroup = 32;

const BlockShape& shape_of(BlockForm form) { return kBlockShapes[static_cast<int>(form)]; }

int64_t super_bytes(const BlockShape& shape) {
  return shape.head_bytes + shape.depth / kBlock * (shape.code_bytes + shape.level_bytes);
}

// The 32 codes of one column of a block, to its cell of the first quad.
void pack_codes(const uint8_t* codes, bool nibbles, std::byte* cell) {
  if (!nibbles) {
    for (int64_t quad = 0; quad < kQuads; ++quad) std::memcpy(cell + quad * kQuadBytes, codes + quad * 4, 4);
    return;
  }
  for (int64_t quad = 0; quad < kQuads / 2; ++quad) {
    for (int64_t j = 0; j < 4; ++j) {
      const int both = codes[quad * 4 + j] | codes[kBlock / 2 + quad * 4 + j] << 4;
      cell[quad * kQuadBytes + j] = static_cast<std::byte>(both);
    }
  }
}

}  // namespace

Weight blocks_layout(int64_t n, int64_t k, BlockForm form) {
  const BlockShape& shape = shape_of(form);
  const Columns columns(n, k, kMostDepth);
  if (k % shape.depth != 0) {
    throw std::invalid_argument("builder: k = " + std::to_string(k) + ": must be a multiple of " +
                                std::to_string(shape.depth));
  }
  Weight weight = weight_layout(WeightKind::blocks, columns, k, k / shape.depth * super_bytes(shape));
  weight.group = kActivationGroup;
  weight.block_form = form;
  return weight;
}

BlocksBuilder::BlocksBuilder(int64_t n, int64_t k, BlockForm form, int threads)
    : columns_(n, k, kMostDepth),
      form_(form),
      shape_(shape_of(form)),
      threads_(threads),
      weight_(with_panels(blocks_layout(n, k, form))) {}

void BlocksBuilder::check_values(const BlockRows& rows, const Placement& placement) {
  const int64_t k = columns_.k();
  const int64_t supers = super_blocks();
  std::atomic<int64_t> bad_codes{-1};
  std::atomic<int64_t> bad_factors{-1};
  threads_.for_each(placement.rows, [&](int64_t row, int) noexcept {
    uint8_t greatest = 0;
    for (int64_t i = row * k; i < (row + 1) * k; ++i) greatest = std::max(greatest, rows.codes[i]);
    if (greatest > shape_.largest) bad_codes.store(row, std::memory_order_relaxed);
    bool finite = true;
    for (int64_t i = row * supers; i < (row + 1) * supers; ++i) {
      finite = finite && float16_is_finite(rows.d[i]) && (rows.m == nullptr || float16_is_finite(rows.m[i]));
    }
    if (!finite) bad_factors.store(row, std::memory_order_relaxed);
  });
  if (bad_codes.load() >= 0) {
    throw std::invalid_argument("builder: codes[" + std::to_string(bad_codes.load()) + "]: codes must be from 0 to " +
                                std::to_string(shape_.largest));
  }
  if (bad_factors.load() >= 0) {
    throw std::invalid_argument("builder: d or m[" + std::to_string(bad_factors.load()) + "]: must be finite");
  }
}

void BlocksBuilder::pack_row(const BlockRows& rows, int64_t row, int64_t column) noexcept {
  const int64_t k = columns_.k();
  const int64_t in_panel = column % kPanelColumns;
  const int64_t cell = in_panel / kTileColumns * (shape_.code_bytes / 2) + in_panel % kTileColumns * 4;
  std::byte* to = weight_->buffer.data() + column / kPanelColumns * weight_->panel_bytes;
  for (int64_t first = 0; first < k; first += kBlock) {
    if (first % shape_.depth == 0) {
      const int64_t super = row * super_blocks() + first / shape_.depth;
      std::memcpy(to + in_panel * 2, rows.d + super, 2);
      if (rows.m != nullptr) std::memcpy(to + kPanelColumns * 2 + in_panel * 2, rows.m + super, 2);
      to += shape_.head_bytes;
    }
    pack_codes(rows.codes + row * k + first, shape_.nibbles, to + cell);
    to += shape_.code_bytes;
    if (rows.levels != nullptr) {
      const int64_t count = block_levels(shape_);
      const uint8_t* levels = rows.levels + (row * k + first) / kBlock * count;
      for (int64_t i = 0; i < count; ++i) to[i * kPanelColumns + in_panel] = static_cast<std::byte>(levels[i]);
    }
    to += shape_.level_bytes;
  }
}

void BlocksBuilder::place(const BlockRows& rows, const Placement& placement) {
  unfinished(weight_);
  if ((rows.m != nullptr) != shape_.minimum) {
    throw std::invalid_argument("builder: m: required for the forms with minimums, none for the others");
  }
  if ((rows.levels != nullptr) != (shape_.level_bytes != 0)) {
    throw std::invalid_argument("builder: levels: required for the forms with levels, none for the others");
  }
  columns_.check(placement);
  check_values(rows, placement);
  // One task is sixteen rows, whose columns are neighbours.
  threads_.for_each((placement.rows + 15) / 16, [&](int64_t task, int) noexcept {
    const int64_t end = std::min(placement.rows, task * 16 + 16);
    for (int64_t row = task * 16; row < end; ++row) pack_row(rows, row, placement.column(row));
  });
  columns_.take(placement);
}

std::shared_ptr<const Weight> BlocksBuilder::finish() {
  unfinished(weight_);
  return std::exchange(weight_, nullptr);
}

}  // namespace honed
