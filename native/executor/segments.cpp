#include "executor/segments.h"

#include <algorithm>
#include <numeric>

#include "cpu/kernel_table.h"

namespace honed {

Segments::Segments(int64_t max_rows)
    : pages_(static_cast<std::size_t>(max_rows)),
      first_page_(static_cast<std::size_t>(max_rows)),
      keys_(static_cast<std::size_t>(max_rows)) {
  segments_.reserve(static_cast<std::size_t>(max_rows));
  std::iota(pages_.begin(), pages_.end(), 0);
}

void Segments::find(const Batch& batch) {
  segments_.clear();
  int64_t page = 0;
  for (int64_t begin = 0; begin < batch.rows;) {
    int64_t end = begin + 1;
    while (end < batch.rows && batch.sequences[end] == batch.sequences[begin]) ++end;
    segments_.push_back({begin, end});
    std::fill(first_page_.begin() + begin, first_page_.begin() + end, static_cast<int32_t>(page));
    std::fill(keys_.begin() + begin, keys_.begin() + end, static_cast<int32_t>(end - begin));
    page += (end - begin + kPageTokens - 1) / kPageTokens;
    begin = end;
  }
}

}  // namespace honed
