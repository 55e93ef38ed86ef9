// The largest of many values without sorting them. Among equals the one that stands first counts as larger.
#pragma once

#include <cstdint>
#include <vector>

namespace honed {

// Places of the `count` largest of values[size], ascending, to `places`; count is from 1 to size. Zeros of either sign
// are equal; no value may be NaN.
void largest(const float* values, int64_t size, int64_t count, std::vector<int32_t>& places);

// Places of the shortest run of the largest values, as they are added one by one from the largest on, whose sum is
// `target` at least; all where that is never reached. Ascending. `total`: the sum of all, in any order. Values are not
// negative.
void nucleus(const double* values, int64_t size, double target, double total, std::vector<int32_t>& places);

}  // namespace honed
