// The sequences of a step: which rows are whose, and pages for the keys of those rows where they are kept for the step
// alone.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/batch.h"

namespace honed {

struct Segment {
  int64_t row_begin, row_end;
  int64_t rows() const { return row_end - row_begin; }
};

// Where the keys of the rows of a step lie: which pages each row's sequence has, and how many keys where that is known.
struct Paging {
  const int32_t* page_tables;
  const int32_t* tables;  // [rows], row of page_tables
  int64_t pages_per_table;
  const int32_t* keys;    // [rows], of the sequence; null: those up to the row's position
  const int32_t* pages_of(int64_t row) const { return page_tables + tables[row] * pages_per_table; }
};

class Segments {
 public:
  // Memory for steps of up to `max_rows` rows, so that `find` allocates nothing.
  explicit Segments(int64_t max_rows);

  void find(const Batch& batch);  // of a checked batch

  int64_t count() const { return static_cast<int64_t>(segments_.size()); }
  const Segment& operator[](int64_t index) const { return segments_[static_cast<std::size_t>(index)]; }

  // Pages from 0, a new one for each kPageTokens rows that a sequence begins: at most one for each row of the step. Of
  // sequences that start at position 0.
  Paging own_pages() const { return {pages_.data(), first_page_.data(), 1, keys_.data()}; }

 private:
  std::vector<Segment> segments_;
  std::vector<int32_t> pages_;       // page i is i: the tables of all sequences are parts of it
  std::vector<int32_t> first_page_;  // [rows], of the sequence
  std::vector<int32_t> keys_;        // [rows], of the sequence
};

}  // namespace honed
