#include "packing/int8.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "packing/float_bits.h"
#include "packing/weight_shell.h"

namespace honed {
namespace {

constexpr int64_t kQuadBytes = kPanelColumns * 4;
constexpr int64_t kScaleBytes = kPanelColumns * 2;
// The longest exact int32 sum of products of bytes within [-127, 127]. A group is far shorter, so that it may hold -128.
constexpr int64_t kMostExactDepth = ((int64_t{1} << 31) - 1) / (127 * 127);

int64_t checked_group(int64_t group) {
  if (group != 0 && group != 32 && group != 64 && group != 128) {
    throw std::invalid_argument("builder: group = " + std::to_string(group) + ": must be none, 32, 64 or 128");
  }
  return group;
}

int64_t most_depth(int64_t group) { return checked_group(group) == 0 ? kMostExactDepth : kMostDepth; }

[[noreturn]] void refuse_scale(int64_t row) {
  throw std::invalid_argument("builder: scales[" + std::to_string(row) + "]: must be finite");
}

}  // namespace

Weight int8_layout(int64_t n, int64_t k, int64_t group) {
  const Columns columns(n, k, most_depth(group));
  const int64_t unit = group == 0 ? kTileDepth : group;
  const int64_t units = (k + unit - 1) / unit;
  const int64_t panel_bytes = units * (unit * kPanelColumns + (group == 0 ? 0 : kScaleBytes));
  Weight weight = weight_layout(WeightKind::int8, columns, units * unit, panel_bytes);
  weight.group = group;
  if (group == 0) weight.column_scales.assign(static_cast<std::size_t>(weight.rows), 0.0F);
  return weight;
}

Int8Builder::Int8Builder(int64_t n, int64_t k, int64_t group, int threads)
    : columns_(n, k, most_depth(group)),
      group_(group),
      threads_(threads),
      weight_(with_panels(int8_layout(n, k, group))) {}

void Int8Builder::check_codes(const int8_t* codes, const Placement& placement) {
  const int64_t k = columns_.k();
  std::atomic<int64_t> bad{-1};
  threads_.for_each(placement.rows, [&](int64_t row, int) noexcept {
    int8_t least = 0;
    for (int64_t i = 0; i < k; ++i) least = std::min(least, codes[row * k + i]);
    if (least == -128) bad.store(row, std::memory_order_relaxed);
  });
  if (bad.load() >= 0) {
    throw std::invalid_argument("builder: codes[" + std::to_string(bad.load()) +
                                "] has -128: codes must be from -127 to 127");
  }
}

// One task is sixteen rows, whose columns are neighbours.
void Int8Builder::pack(const int8_t* codes, const Placement& placement) {
  Weight& weight = *weight_;
  const int64_t k = columns_.k();
  const int64_t unit = group_ == 0 ? kTileDepth : group_;
  const int64_t unit_bytes = unit * kPanelColumns + (group_ == 0 ? 0 : kScaleBytes);
  threads_.for_each((placement.rows + 15) / 16, [&](int64_t task, int) noexcept {
    const int64_t begin = task * 16;
    const int64_t count = std::min<int64_t>(16, placement.rows - begin);
    std::byte* to[16];
    for (int64_t r = 0; r < count; ++r) {
      const int64_t column = placement.column(begin + r);
      to[r] = weight.buffer.data() + column / kPanelColumns * weight.panel_bytes + column % kPanelColumns * 4;
    }
    for (int64_t first = 0; first < k; first += 4) {
      const int64_t offset = first / unit * unit_bytes + first % unit / 4 * kQuadBytes;
      const auto bytes = static_cast<std::size_t>(std::min<int64_t>(4, k - first));
      const int8_t* from = codes + begin * k + first;
      if (bytes == 4) {
        for (int64_t r = 0; r < count; ++r) std::memcpy(to[r] + offset, from + r * k, 4);
      } else {
        for (int64_t r = 0; r < count; ++r) std::memcpy(to[r] + offset, from + r * k, bytes);
      }
    }
  });
}

void Int8Builder::place(const int8_t* codes, const float* scales, const Placement& placement) {
  Weight& weight = unfinished(weight_);
  if (group_ != 0) throw std::invalid_argument("builder: float32 scales: groups take float16");
  columns_.check(placement);
  for (int64_t row = 0; row < placement.rows; ++row) {
    if (!std::isfinite(scales[row])) refuse_scale(row);
  }
  check_codes(codes, placement);
  pack(codes, placement);
  for (int64_t row = 0; row < placement.rows; ++row) {
    weight.column_scales[static_cast<std::size_t>(placement.column(row))] = scales[row];
  }
  columns_.take(placement);
}

void Int8Builder::place(const int8_t* codes, const uint16_t* scales, const Placement& placement) {
  Weight& weight = unfinished(weight_);
  if (group_ == 0) throw std::invalid_argument("builder: float16 scales: one scale a column takes float32");
  columns_.check(placement);
  for (int64_t i = 0; i < placement.rows * groups(); ++i) {
    if (!float16_is_finite(scales[i])) refuse_scale(i / groups());
  }
  pack(codes, placement);
  const int64_t group_bytes = group_ * kPanelColumns + kScaleBytes;
  for (int64_t row = 0; row < placement.rows; ++row) {
    const int64_t column = placement.column(row);
    std::byte* to = weight.buffer.data() + column / kPanelColumns * weight.panel_bytes + group_ * kPanelColumns +
                    column % kPanelColumns * 2;
    for (int64_t g = 0; g < groups(); ++g) std::memcpy(to + g * group_bytes, scales + row * groups() + g, 2);
  }
  columns_.take(placement);
}

std::shared_ptr<const Weight> Int8Builder::finish() {
  unfinished(weight_);
  return std::exchange(weight_, nullptr);
}

}  // namespace honed
