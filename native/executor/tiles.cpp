#include "executor/tiles.h"

#include <algorithm>

#include "cpu/kernel_table.h"

namespace honed {
namespace {

// A tile is split when a kv head of it is more than this part of what a thread has to do.
constexpr int64_t kPartsOfThread = 4;

int64_t keys_of(int64_t position, int64_t window) {
  return window > 0 ? std::min(window, position + 1) : position + 1;
}

}  // namespace

void AttentionTiles::cut(const Batch& batch, const AttentionShape& shape, int threads, const SplitRoom& room) {
  tiles_.clear();
  work_ = 0;
  const int64_t most = most_rows(shape.group());
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t position = batch.positions[row];
    const int64_t keys = keys_of(position, shape.window);
    const int64_t span_begin = (position + 1 - keys) / kSpanTokens;
    const int64_t span_end = position / kSpanTokens + 1;
    work_ += keys * shape.heads;
    if (!tiles_.empty()) {
      AttentionTile& last = tiles_.back();
      if (last.rows() < most && batch.sequences[last.row_begin] == batch.sequences[row] &&
          last.span_begin == span_begin && last.span_end == span_end) {
        last.row_end = row + 1;
        continue;
      }
    }
    tiles_.push_back({row, row + 1, span_begin, span_end, 0, false, 0, 0});
  }
  if (threads > 1) split_large(shape, threads, room);
  tasks_ = 0;
  for (AttentionTile& tile : tiles_) {
    tile.task_begin = tasks_;
    tasks_ += shape.kv_heads * (tile.split ? tile.spans() : 1);
  }
}

void AttentionTiles::split_large(const AttentionShape& shape, int threads, const SplitRoom& room) {
  int64_t all = 0;
  for (const AttentionTile& tile : tiles_) all += tile.rows() * tile.spans() * shape.kv_heads;
  SplitRoom used{0, 0};
  for (AttentionTile& tile : tiles_) {
    const int64_t partials = tile.rows() * shape.heads * tile.spans();
    const bool large = tile.rows() * tile.spans() * threads * kPartsOfThread > all;
    const bool fits = used.partials + partials <= room.partials && used.counters + shape.kv_heads <= room.counters;
    if (tile.spans() == 1 || !large || !fits) continue;
    tile.split = true;
    tile.first_partial = used.partials;
    tile.first_counter = used.counters;
    used.partials += partials;
    used.counters += shape.kv_heads;
  }
}

const AttentionTile& AttentionTiles::tile_of(int64_t task) const {
  const auto after = std::upper_bound(tiles_.begin(), tiles_.end(), task, [](int64_t value, const AttentionTile& tile) {
    return value < tile.task_begin;
  });
  return *(after - 1);
}

}  // namespace honed
