// How the attention of a step is cut into tasks: tiles of rows that read the same keys together, and within a long one
// its spans. None of it changes a result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernel_table.h"

namespace honed {

// Consecutive rows of one sequence that see the same spans of keys.
struct AttentionTile {
  int64_t row_begin, row_end;
  int64_t keys;                 // of the sequence
  int64_t first_key, last_key;  // the first one that any row sees, and the last one
  int64_t span_begin, span_end;
  int64_t task_begin;     // of its tasks: kv_heads, or kv_heads * spans where split
  bool split;             // each span of a kv head is a task of its own
  int64_t first_partial;  // split only: where its partials start, in partials of one row and head
  int64_t first_counter;  // split only: where its counters start, one a kv head
  int64_t rows() const { return row_end - row_begin; }
  int64_t spans() const { return span_end - span_begin; }
};

// Which keys of its sequence a row sees, by its position: itself, and so many before and after it; kEveryKey: all.
struct Sight {
  int64_t before, after;
  int64_t first(int64_t position) const { return std::max<int64_t>(position - before, 0); }
  int64_t last(int64_t position, int64_t keys) const { return std::min(position + after, keys - 1); }
};

// The rows of a step.
struct AttentionRows {
  int64_t count;
  const int32_t* positions;  // [count]
  const int32_t* sequences;  // [count], equal for rows of one
  const int32_t* keys;       // [count], of the sequence; null: no row sees any behind its position
};

struct AttentionShape {
  int64_t heads, kv_heads;
  Sight sight;
  int64_t group() const { return heads / kv_heads; }
};

// Room for the partials of split tiles, and for their counters.
struct SplitRoom {
  int64_t partials;
  int64_t counters;
};

class AttentionTiles {
 public:
  // Most pairs of a row and a query head in one tile, but for groups larger than that.
  static constexpr int64_t kTileRows = 24;

  // Memory for tiles of up to `max_rows` rows, so that `cut` allocates nothing.
  explicit AttentionTiles(int64_t max_rows) { tiles_.reserve(static_cast<std::size_t>(max_rows)); }

  static int64_t most_rows(int64_t group) { return group < kTileRows ? kTileRows / group : 1; }

  // Tiles of the rows of a checked batch for `threads` threads. Where more than one shares the work, a tile that is a
  // large part of it is split, as long as there is room.
  void cut(const AttentionRows& rows, const AttentionShape& shape, int threads, const SplitRoom& room);

  int64_t tasks() const { return tasks_; }
  int64_t work() const { return work_; }  // pairs of a query and a key, of all heads
  const AttentionTile& tile_of(int64_t task) const;

 private:
  void split_large(const AttentionShape& shape, int threads, const SplitRoom& room);

  std::vector<AttentionTile> tiles_;
  int64_t tasks_ = 0;
  int64_t work_ = 0;
};

}  // namespace honed
