// Generous bounds under which no product of sizes overflows.
#pragma once

#include <cstdint>

namespace honed {

inline constexpr int64_t kMostOps = 1 << 20;
inline constexpr int64_t kMostSlots = 1 << 20;
inline constexpr int64_t kMostWidth = 1 << 24;
inline constexpr int64_t kMostNames = 1 << 10;  // inputs, and outputs
inline constexpr int64_t kMostCaches = 1 << 12;
inline constexpr int64_t kMostChosen = 1 << 6;  // experts of a row
inline constexpr int64_t kMostHeads = 1 << 12;
inline constexpr int64_t kMostHeadDim = 1 << 12;
inline constexpr int64_t kMostIds = (int64_t{1} << 31) - 1;
inline constexpr int64_t kMostDistance = int64_t{1} << 40;

}  // namespace honed
