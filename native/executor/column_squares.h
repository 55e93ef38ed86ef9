// What calibration asks of the rows that a plan gives.
#pragma once

#include <cstdint>

namespace honed {

// sums[column] = the sum of x * x over all rows, in float64 and in the order of the rows: squares of floats are exact
// there, so the result is the same on every machine. `x` is [rows][columns].
void column_squares(const float* x, int64_t rows, int64_t columns, double* sums);

}  // namespace honed
