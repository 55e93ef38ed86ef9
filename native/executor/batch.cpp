// Checks every index of a step before any kernel sees it.
#include "executor/batch.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu/kernel_table.h"

namespace honed {
namespace {

// Of page tables: those of no columns take no memory, however many they are, and a flag is kept for each.
constexpr int64_t kMostTables = int64_t{1} << 20;

[[noreturn]] void reject(const std::string& entry, int64_t value, const std::string& expected) {
  throw std::invalid_argument("batch: " + entry + " = " + std::to_string(value) + ": " + expected);
}

std::string at(const std::string& name, int64_t index) { return name + "[" + std::to_string(index) + "]"; }

void check_counts(const Batch& b, const BatchLimits& limits) {
  if (b.rows < 1) reject("token rows", b.rows, "a batch must have at least one");
  if (b.rows > limits.max_tokens) {
    reject("token rows", b.rows, "at most max_tokens = " + std::to_string(limits.max_tokens));
  }
  if (b.tables > kMostTables) reject("page_tables", b.tables, "at most " + std::to_string(kMostTables) + " rows");
  const auto groups = static_cast<int64_t>(limits.pages.size());
  if (groups > 0 && b.table_groups != 1 && b.table_groups != groups) {
    reject("page_tables: groups", b.table_groups, "must be " + std::to_string(groups) + ", as many as the cache has");
  }
  if (b.selected_rows > limits.max_selected) {
    reject("selected rows", b.selected_rows, "at most max_selected = " + std::to_string(limits.max_selected));
  }
}

// The tables of one group of caches.
struct GroupTables {
  const Batch& batch;
  int64_t group;
  int64_t pages;  // of the cache

  // The page of row i, after checking that its table reaches so far and that the cache has it.
  int64_t page_of(int64_t i, int64_t position) const {
    const int64_t index = position / kPageTokens;
    if (index >= batch.pages_per_table) {
      reject(at("positions", i), position, "the page table has room for " +
                                               std::to_string(batch.pages_per_table * kPageTokens) + " positions");
    }
    const int64_t table = batch.sequences[i];
    const int64_t page = batch.tables_of(group)[table * batch.pages_per_table + index];
    if (page < 0 || page >= pages) {
      const std::string name = batch.table_groups == 1 ? "page_tables" : at("page_tables", group);
      reject(at(name, table) + at("", index), page, "must be a page from 0 to " + std::to_string(pages - 1));
    }
    return page;
  }

  // Every page before the one that a sequence starts in may be read by attention.
  void check_earlier(int64_t i) const {
    for (int64_t position = 0; position < batch.positions[i]; position += kPageTokens) page_of(i, position);
  }
};

// Whether row i goes on with the sequence of the row before it, where it must then stand behind it.
bool continues(const Batch& b, int64_t i) {
  if (i == 0 || b.sequences[i] != b.sequences[i - 1]) return false;
  if (b.positions[i] != int64_t{b.positions[i - 1]} + 1) {
    reject(at("positions", i), b.positions[i],
           "must follow " + std::to_string(b.positions[i - 1]) + ", the position before it in the sequence");
  }
  return true;
}

void check_ids(const Input& input, const int32_t* ids, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    if (ids[i] < 0 || ids[i] >= input.size) {
      reject(at(input.name, i), ids[i], "must be from 0 to " + std::to_string(input.size - 1));
    }
  }
}

void check_start(const Batch& b, const BatchLimits& limits, int64_t i) {
  if (b.positions[i] < 0) reject(at("positions", i), b.positions[i], "must not be negative");
  if (limits.from_zero && b.positions[i] != 0) {
    reject(at("positions", i), b.positions[i], "must be 0: a sequence is run whole, by a plan that keeps no keys of it");
  }
}

// Of a plan with caches, where a sequence is a row of page_tables.
void check_row(const Batch& b, const BatchLimits& limits, int64_t most_positions, int64_t i, std::vector<bool>& seen) {
  if (b.sequences[i] < 0 || b.sequences[i] >= b.tables) {
    reject(at("sequences", i), b.sequences[i], "must be a row of page_tables, which has " + std::to_string(b.tables));
  }
  if (continues(b, i)) return;
  check_start(b, limits, i);
  const auto sequence = static_cast<std::size_t>(b.sequences[i]);
  if (seen[sequence]) reject(at("sequences", i), b.sequences[i], "the rows of a sequence must stand back to back");
  seen[sequence] = true;
  if (b.positions[i] >= most_positions) {
    reject(at("positions", i), b.positions[i],
           "the cache has room for " + std::to_string(most_positions) + " positions");
  }
}

// Two rows that write the same place would leave whichever came last.
void check_distinct(std::vector<int64_t>& cells) {
  std::sort(cells.begin(), cells.end());
  const auto twice = std::adjacent_find(cells.begin(), cells.end());
  if (twice != cells.end()) {
    reject("page_tables: page", *twice / kPageTokens, "two rows of the batch write the same position of it");
  }
}

void check_selected(const Batch& b) {
  for (int64_t i = 0; i < b.selected_rows; ++i) {
    if (b.selected[i] < 0 || b.selected[i] >= b.rows) {
      reject(at("selected", i), b.selected[i], "must be from 0 to " + std::to_string(b.rows - 1));
    }
    if (i > 0 && b.selected[i] <= b.selected[i - 1]) {
      reject(at("selected", i), b.selected[i], "must be over " + std::to_string(b.selected[i - 1]) + " before it");
    }
  }
}

// In one group, every row writes its place in the pages, and reads those before it.
void check_group(const GroupTables& tables, std::vector<int64_t>& cells) {
  const Batch& batch = tables.batch;
  for (int64_t i = 0; i < batch.rows; ++i) {
    if (i == 0 || batch.sequences[i] != batch.sequences[i - 1]) tables.check_earlier(i);
    const int64_t position = batch.positions[i];
    cells[static_cast<std::size_t>(i)] = tables.page_of(i, position) * kPageTokens + position % kPageTokens;
  }
  check_distinct(cells);
}

void check_paged_rows(const Batch& batch, const BatchLimits& limits) {
  // A group whose caches see a window only may have pages for fewer positions than a sequence has.
  const int64_t most_positions = *std::max_element(limits.pages.begin(), limits.pages.end()) * kPageTokens;
  std::vector<bool> seen(static_cast<std::size_t>(batch.tables), false);
  std::vector<int64_t> cells(static_cast<std::size_t>(batch.rows));
  for (int64_t i = 0; i < batch.rows; ++i) check_row(batch, limits, most_positions, i, seen);
  for (std::size_t group = 0; group < limits.pages.size(); ++group) {
    check_group({batch, static_cast<int64_t>(group), limits.pages[group]}, cells);
  }
  const int64_t highest = *std::max_element(batch.positions, batch.positions + batch.rows);
  if (highest >= most_positions) {
    reject("positions", highest, "the cache has room for " + std::to_string(most_positions) + " positions");
  }
}

// Of a plan without caches.
void check_rows(const Batch& b, const BatchLimits& limits) {
  for (int64_t i = 0; i < b.rows; ++i) {
    if (continues(b, i)) continue;
    const int64_t next = i == 0 ? 0 : int64_t{b.sequences[i - 1]} + 1;
    if (b.sequences[i] != next) {
      reject(at("sequences", i), b.sequences[i], "must be " + std::to_string(next) + ": sequences are counted from 0");
    }
    check_start(b, limits, i);
  }
}

}  // namespace

void check_batch(const Batch& batch, const BatchLimits& limits) {
  check_counts(batch, limits);
  for (std::size_t i = 0; i < limits.inputs.size(); ++i) {
    const Input& input = limits.inputs[i];
    if (input.kind == InputKind::ids) check_ids(input, static_cast<const int32_t*>(batch.inputs[i]), batch.rows);
  }
  if (!limits.pages.empty()) {
    check_paged_rows(batch, limits);
  } else {
    check_rows(batch, limits);
  }
  check_selected(batch);
}

}  // namespace honed
