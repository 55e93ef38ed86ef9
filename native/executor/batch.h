// One step as the caller gives it, and the check that nothing in it leads out of bounds.
#pragma once

#include <cstdint>
#include <vector>

namespace honed {

// Tokens of several sequences back to back. Arrays are the caller's and outlive the step.
struct Batch {
  const int32_t* tokens;       // [rows]
  const int32_t* positions;    // [rows]
  const int32_t* sequences;    // [rows], rows of page_tables
  const int32_t* page_tables;  // [tables][pages_per_table]
  const int32_t* selected;     // [selected_rows], ascending
  int64_t rows;
  int64_t tables;
  int64_t pages_per_table;
  int64_t selected_rows;  // 0 for a chunk of a prompt that is not its last
};

struct BatchLimits {
  int64_t max_tokens;
  int64_t max_selected;
  int64_t vocabulary;
  int64_t pages;
};

// Throws std::invalid_argument naming the entry.
void check_batch(const Batch& batch, const BatchLimits& limits);

}  // namespace honed
