// All that an executor keeps from step to step for the ops of its plan: kernels, threads, and memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/kernel_table.h"
#include "executor/arena.h"
#include "executor/attention_memory.h"
#include "executor/cache.h"
#include "executor/lookahead.h"
#include "executor/needs.h"
#include "executor/rotary.h"
#include "executor/segments.h"
#include "executor/threads.h"
#include "plan/plan.h"

namespace honed {

struct Workspace {
  // `cache` is null for a plan without caches. Throws std::invalid_argument where plan and cache do not fit or a size is
  // out of range.
  Workspace(std::shared_ptr<const Plan> plan, std::shared_ptr<Cache> cache, int64_t max_tokens, int64_t max_selected,
            int threads, const std::string& isa);

  float* scratch_of(int thread) const {
    return reinterpret_cast<float*>(scratch.data() + scratch_bytes * thread);
  }

  std::shared_ptr<const Plan> plan;
  std::shared_ptr<Cache> cache;    // that of the caller, null where the plan has none
  Needs needs;
  KernelTable kernels;
  std::vector<Stretch> stretches;  // [ops][threads]
  Threads threads;                 // after the stretches, which its workers look at until they end
  Arena arena;
  std::unique_ptr<Cache> kept_keys;  // of the rows of a step, until it ends; null where no op keeps any
  Segments segments;                 // of the step
  Rotary rotary;
  AttentionMemory attention;
  int64_t scratch_bytes;  // of one thread
  AlignedBuffer scratch;
};

}  // namespace honed
