#include "executor/attention_memory.h"

#include <algorithm>

#include "cpu/kernel_table.h"

namespace honed {
namespace {

constexpr int64_t kFloatBytes = 4;
constexpr int64_t kMostSplitBytes = int64_t{64} << 20;

}  // namespace

int64_t partial_floats(int64_t head_dim) { return kPartialValues + head_dim; }

AttentionMemory::AttentionMemory(const std::vector<Heads>& attentions, int64_t max_tokens, int64_t pages, int threads)
    : tiles(max_tokens) {
  if (threads == 1 || attentions.empty()) return;
  const int64_t spans = (pages * kPageTokens + kSpanTokens - 1) / kSpanTokens;
  counter_count_ = 4 * threads;
  for (const Heads& shape : attentions) {
    // Tiles that are a large part of the work are few: AttentionTiles splits fewer kv heads than this.
    counter_count_ = std::max(counter_count_, shape.kv_heads);
    const int64_t most = std::min(max_tokens, AttentionTiles::kTileRows) * shape.heads * spans * 4 * threads;
    const int64_t floats = partial_floats(shape.head_dim);
    const int64_t room = std::min(most, kMostSplitBytes / (floats * kFloatBytes));
    partials_floats_ = std::max(partials_floats_, room * floats);
  }
  // Small pages: how much of it is ever touched depends on how long the sequences become.
  partials_ = AlignedBuffer(static_cast<std::size_t>(partials_floats_ * kFloatBytes), PageSize::small);
  counters = std::make_unique<std::atomic<int32_t>[]>(static_cast<std::size_t>(counter_count_));
}

SplitRoom AttentionMemory::room(int64_t head_dim) const {
  return {partials_floats_ / partial_floats(head_dim), counter_count_};
}

}  // namespace honed
