// Weights that are not packed: vectors, and tables for row look-ups.
#pragma once

#include <cstdint>
#include <memory>

#include "plan/weight.h"

namespace honed {

// A copy of `length` values. Throws std::invalid_argument for an empty one.
std::shared_ptr<const Weight> make_vector(const float* values, int64_t length);

// [rows][width], borrowed for as long as `keep_alive` lives; copied where the file does not align its elements. Rows of
// blocks are a whole number of them. Throws std::invalid_argument for sizes out of range.
std::shared_ptr<const Weight> make_table(const void* values, TableType type, int64_t rows, int64_t width,
                                         std::shared_ptr<void> keep_alive);

// What a block of a table type holds and takes; of a type without blocks one value.
struct TableBlock {
  int64_t values;
  int64_t bytes;
};
TableBlock table_block(TableType type);

// Bytes that a weight takes, padding and scales included.
int64_t weight_bytes(const Weight& weight);

}  // namespace honed
