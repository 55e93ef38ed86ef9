// What attention keeps from step to step, all of it reserved when the executor is made.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "executor/needs.h"
#include "executor/tiles.h"
#include "plan/weight.h"

namespace honed {

// Floats of the partial of one row and head.
int64_t partial_floats(int64_t head_dim);

struct AttentionMemory {
  // `attentions`: the heads of every attention of the plan, which are run one after the other.
  AttentionMemory(const std::vector<Heads>& attentions, int64_t max_tokens, int64_t pages, int threads);

  SplitRoom room(int64_t head_dim) const;
  float* partials() const { return reinterpret_cast<float*>(partials_.data()); }  // of split tiles

  AttentionTiles tiles;
  std::unique_ptr<std::atomic<int32_t>[]> counters;  // spans of a kv head that are done; zero between steps

 private:
  int64_t counter_count_ = 0;
  int64_t partials_floats_ = 0;
  AlignedBuffer partials_;
};

}  // namespace honed
