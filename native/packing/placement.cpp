#include "packing/placement.h"

#include <stdexcept>
#include <string>

#include "cpu/kernel_table.h"

namespace honed {
namespace {

void require(bool ok, const std::string& field, int64_t value, const std::string& expected) {
  if (!ok) throw std::invalid_argument("builder: " + field + " = " + std::to_string(value) + ": " + expected);
}

}  // namespace

Columns::Columns(int64_t n, int64_t k, int64_t most_k) : n_(n), k_(k) {
  require(n >= 1 && n <= kMostColumns, "n", n, "must be from 1 to " + std::to_string(kMostColumns));
  require(k >= 1 && k <= most_k, "k", k, "must be from 1 to " + std::to_string(most_k));
  taken_.assign(static_cast<std::size_t>(n), false);
}

int64_t Columns::panels() const { return (n_ + kPanelColumns - 1) / kPanelColumns; }

void Columns::check(const Placement& p) const {
  require(p.rows >= 1 && p.rows <= n_, "rows placed", p.rows, "must be from 1 to n = " + std::to_string(n_));
  require(p.first_column >= 0 && p.first_column < n_, "first_column", p.first_column,
          "must be from 0 to " + std::to_string(n_ - 1));
  require(p.tile_step >= 1 && p.tile_step <= n_, "tile_step", p.tile_step,
          "must be from 1 to n = " + std::to_string(n_));
  for (int64_t row = 0; row < p.rows; ++row) {
    const int64_t column = p.column(row);
    require(column < n_, "column", column, "row " + std::to_string(row) + " falls behind n = " + std::to_string(n_));
    require(!taken_[static_cast<std::size_t>(column)], "column", column,
            "row " + std::to_string(row) + " falls on a column that is already placed");
  }
}

void Columns::take(const Placement& p) {
  for (int64_t row = 0; row < p.rows; ++row) taken_[static_cast<std::size_t>(p.column(row))] = true;
}

}  // namespace honed
