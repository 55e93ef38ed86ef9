#include "executor/column_squares.h"

#include <algorithm>

namespace honed {
namespace {

// Sums that stay in the first cache while all rows go by.
constexpr int64_t kColumnsOfBlock = 1024;

}  // namespace

void column_squares(const float* x, int64_t rows, int64_t columns, double* sums) {
  for (int64_t first = 0; first < columns; first += kColumnsOfBlock) {
    const int64_t count = std::min(kColumnsOfBlock, columns - first);
    double* of_block = sums + first;
    std::fill_n(of_block, count, 0.0);
    for (int64_t row = 0; row < rows; ++row) {
      const float* values = x + row * columns + first;
      for (int64_t column = 0; column < count; ++column) {
        const double value = values[column];
        of_block[column] += value * value;
      }
    }
  }
}

}  // namespace honed
