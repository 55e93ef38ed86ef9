// What attention keeps from step to step, all of it reserved when the executor is made.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "executor/tiles.h"
#include "plan/plan.h"

namespace honed {

struct AttentionMemory {
  AttentionMemory(const Plan& plan, int64_t max_tokens, int64_t pages, int threads);

  AttentionTiles tiles;
  int64_t partial_floats;     // of one row and head
  int64_t most_rows = 1;      // pairs of a row and a query head in one tile
  int64_t kernel_floats = 0;  // of one thread's scratch, for the kernel
  int64_t thread_floats = 0;  // of one thread's scratch in all
  SplitRoom room{0, 0};
  AlignedBuffer partials;                               // of split tiles
  std::unique_ptr<std::atomic<int32_t>[]> counters;     // spans of a kv head that are done; zero between steps
};

}  // namespace honed
