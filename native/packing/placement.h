// Where the rows of a weight go among packed columns, and the check that each column is placed once.
#pragma once

#include <cstdint>
#include <vector>

namespace honed {

inline constexpr int64_t kMostColumns = int64_t{1} << 24;
inline constexpr int64_t kMostDepth = int64_t{1} << 24;
// The byte order of packed panels; a cached packed form with another number is not read.
inline constexpr int kLayoutVersion = 3;

// Row r goes to column first + (r / 16) * 16 * tile_step + r % 16.
struct Placement {
  int64_t rows;
  int64_t first_column;
  int64_t tile_step;
  int64_t column(int64_t row) const { return first_column + row / 16 * 16 * tile_step + row % 16; }
};

class Columns {
 public:
  // Throws std::invalid_argument for n or k out of range.
  Columns(int64_t n, int64_t k, int64_t most_k);

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t panels() const;

  // Throws std::invalid_argument, with nothing noted, where a row would leave the matrix or a column is taken.
  void check(const Placement& placement) const;
  void take(const Placement& placement);

 private:
  int64_t n_;
  int64_t k_;
  std::vector<bool> taken_;
};

}  // namespace honed
