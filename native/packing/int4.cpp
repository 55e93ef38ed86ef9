#include "packing/int4.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>

#include "packing/float_bits.h"
#include "packing/weight_shell.h"

namespace honed {
namespace {

constexpr int64_t kHalfBlockBytes = 256;  // 32 k of 16 columns, half a byte each
constexpr int64_t kBlockBytes = 2 * kHalfBlockBytes;
constexpr int64_t kScaleBytes = kPanelColumns * 2;

int64_t checked_group(int64_t group) {
  if (group != 32 && group != 64 && group != 128) {
    throw std::invalid_argument("builder: group = " + std::to_string(group) + ": must be 32, 64 or 128");
  }
  return group;
}

int64_t offset_bytes(Int4Offset offset) {
  return offset == Int4Offset::symmetric ? 0 : offset == Int4Offset::zero_point ? 1 : 2;
}

// Row i of a half block holds quad i in the low nibbles and quad i + 4 in the high ones: k and k + 16.
void pack_block(const uint8_t* codes, int64_t count, std::byte* cell) {
  uint8_t all[kBlock] = {};
  std::memcpy(all, codes, static_cast<std::size_t>(count));
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      cell[i * 64 + j] = static_cast<std::byte>(all[i * 4 + j] | (all[16 + i * 4 + j] << 4));
    }
  }
}

int64_t bytes_of_group(int64_t group, Int4Offset offset) {
  return group / kBlock * kBlockBytes + kScaleBytes + kPanelColumns * offset_bytes(offset);
}

}  // namespace

Weight int4_layout(int64_t n, int64_t k, int64_t group, Int4Offset offset) {
  const Columns columns(n, k, kMostDepth);
  const int64_t groups = (k + checked_group(group) - 1) / group;
  const int64_t panel_bytes = groups * bytes_of_group(group, offset);
  Weight weight = weight_layout(WeightKind::int4, columns, groups * group, panel_bytes);
  weight.group = group;
  weight.offset = offset;
  return weight;
}

Weight codebook_layout(int64_t n, int64_t k, int64_t group, const Codebook& codebook) {
  Weight weight = int4_layout(n, k, group, Int4Offset::symmetric);
  weight.kind = WeightKind::codebook;
  weight.codebook = codebook;
  return weight;
}

Int4Builder::Int4Builder(int64_t n, int64_t k, int64_t group, const Codebook& codebook, int threads)
    : columns_(n, k, kMostDepth),
      group_(checked_group(group)),
      offset_(Int4Offset::symmetric),
      threads_(threads),
      weight_(with_panels(codebook_layout(n, k, group, codebook))) {}

Int4Builder::Int4Builder(int64_t n, int64_t k, int64_t group, Int4Offset offset, int threads)
    : columns_(n, k, kMostDepth),
      group_(checked_group(group)),
      offset_(offset),
      threads_(threads),
      weight_(with_panels(int4_layout(n, k, group, offset))) {}

int64_t Int4Builder::group_bytes() const { return bytes_of_group(group_, offset_); }

void Int4Builder::check_values(const uint8_t* codes, const uint16_t* scales, const void* offsets,
                               const Placement& placement) {
  const int64_t k = columns_.k();
  const int64_t count = groups();
  const auto* minimums = offset_ == Int4Offset::minimum ? static_cast<const uint16_t*>(offsets) : nullptr;
  std::atomic<int64_t> bad_codes{-1};
  std::atomic<int64_t> bad_scales{-1};
  threads_.for_each(placement.rows, [&](int64_t row, int) noexcept {
    uint8_t bits = 0;
    for (int64_t i = 0; i < k; ++i) bits |= codes[row * k + i];
    if (bits > 15) bad_codes.store(row, std::memory_order_relaxed);
    bool finite = true;
    for (int64_t i = row * count; i < (row + 1) * count; ++i) {
      finite = finite && float16_is_finite(scales[i]) && (minimums == nullptr || float16_is_finite(minimums[i]));
    }
    if (!finite) bad_scales.store(row, std::memory_order_relaxed);
  });
  if (bad_codes.load() >= 0) {
    throw std::invalid_argument("builder: codes[" + std::to_string(bad_codes.load()) + "]: codes must be from 0 to 15");
  }
  if (bad_scales.load() >= 0) {
    throw std::invalid_argument("builder: scales or minimums[" + std::to_string(bad_scales.load()) +
                                "]: must be finite");
  }
}

void Int4Builder::place(const uint8_t* codes, const uint16_t* scales, const void* offsets,
                        const Placement& placement) {
  Weight& weight = unfinished(weight_);
  if ((offsets == nullptr) != (offset_ == Int4Offset::symmetric)) {
    throw std::invalid_argument("builder: offsets: none for symmetric, required for zero_point and minimum");
  }
  columns_.check(placement);
  check_values(codes, scales, offsets, placement);
  const int64_t k = columns_.k();
  const int64_t count = groups();
  const int64_t codes_bytes = group_ / kBlock * kBlockBytes;
  const auto width = static_cast<std::size_t>(offset_bytes(offset_));
  // One task is sixteen rows, whose columns are neighbours; a task goes along k with all of them.
  threads_.for_each((placement.rows + 15) / 16, [&](int64_t task, int) noexcept {
    const int64_t end = std::min(placement.rows, task * 16 + 16);
    for (int64_t g = 0; g < count; ++g) {
      for (int64_t row = task * 16; row < end; ++row) {
        const int64_t column = placement.column(row);
        const int64_t in_panel = column % kPanelColumns;
        std::byte* group = weight.buffer.data() + column / kPanelColumns * weight.panel_bytes + g * group_bytes();
        std::byte* cell = group + in_panel / kTileColumns * kHalfBlockBytes + in_panel % kTileColumns * 4;
        const int64_t last = std::min(k, (g + 1) * group_);
        for (int64_t first = g * group_; first < last; first += kBlock, cell += kBlockBytes) {
          pack_block(codes + row * k + first, std::min<int64_t>(kBlock, last - first), cell);
        }
        std::memcpy(group + codes_bytes + in_panel * 2, scales + row * count + g, 2);
        if (width > 0) {
          std::memcpy(group + codes_bytes + kScaleBytes + in_panel * static_cast<int64_t>(width),
                      static_cast<const std::byte*>(offsets) + (row * count + g) * static_cast<int64_t>(width), width);
        }
      }
    }
  });
  columns_.take(placement);
}

std::shared_ptr<const Weight> Int4Builder::finish() {
  unfinished(weight_);
  return std::exchange(weight_, nullptr);
}

}  // namespace honed
