// Attention: the tiles of a step over the threads, span by span, and the fold of their partials.
#include <algorithm>

#include "executor/executor.h"

namespace honed {
namespace {

// Multiply-adds below which waking the other threads costs more than it saves.
constexpr int64_t kWorthSharing = 1 << 14;
constexpr int64_t kFloatBytes = 4;
constexpr int64_t kMostSplitBytes = int64_t{64} << 20;

int64_t lines(int64_t floats) { return (floats + 15) / 16 * 16; }

}  // namespace

AttentionMemory::AttentionMemory(const Plan& plan, int64_t max_tokens, int64_t pages, int threads)
    : tiles(max_tokens), partial_floats(kPartialValues + plan.head_dim) {
  int64_t heads = 0;
  for (const Op& op : plan.ops) {
    if (op.code != OpCode::attention) continue;
    const int64_t group = op.sizes[0] / op.sizes[1];
    most_rows = std::max(most_rows, AttentionTiles::most_rows(group) * group);
    heads = std::max(heads, op.sizes[0]);
  }
  // Scratch of the kernel, then two partials of a tile: what its spans so far come to, and the next one.
  kernel_floats = most_rows * (kScoreStride + lines(plan.head_dim));
  thread_floats = kernel_floats + lines(2 * most_rows * partial_floats);
  if (threads == 1 || heads == 0) return;
  const int64_t spans = (pages * kPageTokens + kSpanTokens - 1) / kSpanTokens;
  // Tiles that are a large part of the work are few: AttentionTiles splits fewer kv heads than this.
  room.counters = std::max<int64_t>(4 * threads, plan.kv_heads);
  const int64_t most = std::min(max_tokens, AttentionTiles::kTileRows) * heads * spans * 4 * threads;
  room.partials = std::min(most, kMostSplitBytes / (partial_floats * kFloatBytes));
  // Small pages: how much of it is ever touched depends on how long the sequences become.
  partials = AlignedBuffer(static_cast<std::size_t>(room.partials * partial_floats * kFloatBytes), PageSize::small);
  counters = std::make_unique<std::atomic<int32_t>[]>(static_cast<std::size_t>(room.counters));
}

void Executor::attention(const Op& op, const Step& step) {
  const Rows q = rows(op.input, step);
  const Rows y = rows(op.output, step);
  const AttentionShape shape{op.sizes[0], op.sizes[1], op.sizes[4]};
  const int64_t head_dim = op.sizes[2];
  const int64_t group = shape.group();
  const Batch& batch = step.batch;
  const KvLayer layer = cache_->layer(op.sizes[3]);
  AttentionTiles& tiles = attention_.tiles;

  const auto pages_of = [&](const AttentionTile& tile) {
    return batch.page_tables + batch.sequences[tile.row_begin] * batch.pages_per_table;
  };
  // The keys of a span of a tile.
  const auto keys_of = [&](const AttentionTile& tile, int64_t kv_head, int64_t span) -> AttentionNext {
    const int64_t position = batch.positions[tile.row_begin];
    const int64_t first = shape.window > 0 ? std::max<int64_t>(position - shape.window + 1, 0) : 0;
    const int64_t last = std::min(position + tile.rows(), (span + 1) * kSpanTokens) - 1;
    return {pages_of(tile), kv_head, std::max(first, span * kSpanTokens) / kPageTokens, last / kPageTokens + 1};
  };
  // The keys of the task that comes after this one.
  const auto keys_after = [&](int64_t task) -> AttentionNext {
    if (task == 0) return {};
    const AttentionTile& tile = tiles.tile_of(task - 1);
    const int64_t within = task - 1 - tile.task_begin;
    if (!tile.split) return keys_of(tile, within, tile.span_begin);
    return keys_of(tile, within / tile.spans(), tile.span_begin + within % tile.spans());
  };
  const auto attend = [&](const AttentionTile& tile, int64_t kv_head, int64_t span, int thread, float* partials,
                          const AttentionNext& next) noexcept {
    kernels_.attention({.q = q.floats(),
                        .q_stride = q.stride(),
                        .row_begin = tile.row_begin,
                        .row_end = tile.row_end,
                        .first_position = batch.positions[tile.row_begin],
                        .pages = pages_of(tile),
                        .group = group,
                        .kv_head = kv_head,
                        .head_dim = head_dim,
                        .span = span,
                        .window = shape.window,
                        .scale = op.scalars[0],
                        .cache = layer,
                        .scratch = scratch(thread),
                        .partials = partials,
                        .next = next});
  };
  const auto merge = [&](const AttentionTile& tile, int64_t kv_head, int64_t count, float* partials) noexcept {
    kernels_.attention_merge({.partials = partials,
                              .count = count,
                              .span_stride = tile.rows() * group * attention_.partial_floats,
                              .rows = tile.rows(),
                              .group = group,
                              .head_dim = head_dim,
                              .y = y.floats() + tile.row_begin * y.stride() + kv_head * group * head_dim,
                              .y_stride = y.stride()});
  };
  const auto whole = [&](const AttentionTile& tile, int64_t kv_head, int64_t index, int thread) noexcept {
    float* partials = scratch(thread) + attention_.kernel_floats;
    float* later = partials + tile.rows() * group * attention_.partial_floats;
    for (int64_t span = tile.span_begin; span < tile.span_end; ++span) {
      const bool last = span + 1 == tile.span_end;
      const bool first = span == tile.span_begin;
      attend(tile, kv_head, span, thread, first ? partials : later,
             last ? keys_after(index) : keys_of(tile, kv_head, span + 1));
      if (!first) merge(tile, kv_head, 2, partials);
      else if (last) merge(tile, kv_head, 1, partials);
    }
  };
  const auto part = [&](const AttentionTile& tile, int64_t kv_head, int64_t nth, int64_t index, int thread) noexcept {
    const int64_t span_floats = tile.rows() * group * attention_.partial_floats;
    float* partials = reinterpret_cast<float*>(attention_.partials.data()) +
                      tile.first_partial * attention_.partial_floats + kv_head * tile.spans() * span_floats;
    attend(tile, kv_head, tile.span_begin + nth, thread, partials + nth * span_floats, keys_after(index));
    // Whoever ends last folds: nobody waits for the others.
    std::atomic<int32_t>& done = attention_.counters[static_cast<std::size_t>(tile.first_counter + kv_head)];
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == tile.spans()) {
      done.store(0, std::memory_order_relaxed);
      merge(tile, kv_head, tile.spans(), partials);
    }
  };

  tiles.cut(batch, shape, threads_.count(), attention_.room);
  const auto task = [&](int64_t index, int thread) noexcept {
    const AttentionTile& tile = tiles.tile_of(index);
    const int64_t within = index - tile.task_begin;
    if (!tile.split) return whole(tile, within, index, thread);
    part(tile, within / tile.spans(), within % tile.spans(), index, thread);
  };
  if (threads_.count() == 1 || tiles.work() * head_dim < kWorthSharing) {
    for (int64_t index = 0; index < tiles.tasks(); ++index) task(index, 0);
    return;
  }
  // Later rows see more keys: they go first, so that no thread is left alone with the longest.
  threads_.for_each(tiles.tasks(), [&](int64_t i, int thread) noexcept { task(tiles.tasks() - 1 - i, thread); });
}

}  // namespace honed
