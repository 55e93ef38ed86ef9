#include "executor/tiles.h"

namespace honed {
namespace {

// A tile is split when a kv head of it is more than this part of what a thread has to do.
constexpr int64_t kPartsOfThread = 4;

}  // namespace

void AttentionTiles::cut(const AttentionRows& rows, const AttentionShape& shape, int threads, const SplitRoom& room) {
  tiles_.clear();
  work_ = 0;
  const int64_t most = most_rows(shape.group());
  const Sight& sight = shape.sight;
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t position = rows.positions[row];
    const int64_t keys = rows.keys == nullptr ? kEveryKey : rows.keys[row];
    const int64_t first_key = sight.first(position);
    const int64_t last_key = sight.last(position, keys);
    const int64_t span_begin = first_key / kSpanTokens;
    const int64_t span_end = last_key / kSpanTokens + 1;
    work_ += (last_key + 1 - first_key) * shape.heads;
    if (!tiles_.empty()) {
      AttentionTile& last = tiles_.back();
      if (last.rows() < most && rows.sequences[last.row_begin] == rows.sequences[row] &&
          last.span_begin == span_begin && last.span_end == span_end) {
        last.row_end = row + 1;
        last.last_key = last_key;
        continue;
      }
    }
    tiles_.push_back({row, row + 1, keys, first_key, last_key, span_begin, span_end, 0, false, 0, 0});
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
