// One step as the caller gives it, and the check that nothing in it leads out of bounds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/plan.h"

namespace honed {

// Rows of several sequences back to back. Arrays are the caller's and outlive the step.
struct Batch {
  std::vector<const void*> inputs;  // of the plan, in its order: int32 [rows], or float [rows][width]
  const int32_t* positions;         // [rows]
  const int32_t* sequences;         // [rows], rows of page_tables; of a plan without caches numbers in order
  const int32_t* page_tables;       // [table_groups][tables][pages_per_table]
  const int32_t* selected;          // [selected_rows], ascending
  int64_t rows;
  int64_t tables;        // 0 for a plan without caches
  int64_t table_groups;  // as many as the cache has, or 1: the tables are those of every group
  int64_t pages_per_table;
  int64_t selected_rows;  // 0 for a chunk of a prompt that is not its last

  const int32_t* tables_of(int64_t group) const {
    return page_tables + (table_groups == 1 ? 0 : group) * tables * pages_per_table;
  }
};

struct BatchLimits {
  int64_t max_tokens;
  int64_t max_selected;
  std::vector<int64_t> pages;  // of each group of the cache; empty where the plan has none
  bool from_zero;  // sequences start at position 0: no keys of earlier steps are kept for some attention
  std::span<const Input> inputs;
};

// Throws std::invalid_argument naming the entry.
void check_batch(const Batch& batch, const BatchLimits& limits);

}  // namespace honed
