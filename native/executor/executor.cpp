// The loop over the ops of a plan. How each op is split over the threads is in ops.cpp, matmul.cpp and attention.cpp.
#include "executor/executor.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "cpu/select.h"

namespace honed {
namespace {

void require_same(const char* name, int64_t of_cache, int64_t of_plan) {
  if (of_cache != of_plan) {
    throw std::invalid_argument(std::string("cache: ") + name + " = " + std::to_string(of_cache) +
                                ": the plan has " + std::to_string(of_plan));
  }
}

}  // namespace

Executor::Executor(std::shared_ptr<const Plan> plan, std::shared_ptr<Cache> cache, int64_t max_tokens,
                   int64_t max_selected, int threads, const std::string& isa)
    : plan_(std::move(plan)),
      cache_(std::move(cache)),
      limits_{max_tokens, max_selected, plan_->vocabulary, cache_->pages()},
      kernels_(select_kernels(isa)),
      threads_(threads),
      arena_(*plan_, max_tokens, max_selected),
      rotary_(*plan_),
      attention_(*plan_, max_tokens, cache_->pages(), threads_.count()) {
  require_same("layers", cache_->layers(), plan_->layers);
  require_same("kv_heads", cache_->kv_heads(), plan_->kv_heads);
  require_same("head_dim", cache_->head_dim(), plan_->head_dim);
  int64_t floats = attention_.thread_floats;
  for (const Op& op : plan_->ops) {
    if (op.code == OpCode::rms_norm_quantize) floats = std::max(floats, op.sizes[0]);
  }
  // A line between two threads.
  scratch_bytes_ = (floats * 4 + 127) / 64 * 64;
  scratch_ = AlignedBuffer(static_cast<std::size_t>(scratch_bytes_ * threads_.count()), PageSize::small);
  seconds_.assign(plan_->ops.size(), 0.0);
}

float* Executor::scratch(int thread) const {
  return reinterpret_cast<float*>(scratch_.data() + scratch_bytes_ * thread);
}

int64_t Executor::row_count(int32_t slot, const Step& step) const {
  const bool tokens = plan_->slots[static_cast<std::size_t>(slot)].rows == honed::Rows::tokens;
  return tokens ? step.batch.rows : step.batch.selected_rows;
}

Executor::Rows Executor::rows(int32_t slot, const Step& step) const {
  const SlotMemory& memory = arena_.slot(slot);
  if (slot == plan_->ops.back().output) {
    return {reinterpret_cast<std::byte*>(step.logits), plan_->logits * 4, &memory.layout};
  }
  return {memory.data, memory.row_bytes, &memory.layout};
}

const Weight& Executor::weight(const Op& op, int which) const {
  return *plan_->weights[static_cast<std::size_t>(op.weights[which])];
}

const float* Executor::vector_or_null(const Op& op, int which) const {
  if (op.weights[which] == kNoWeight) return nullptr;
  return reinterpret_cast<const float*>(weight(op, which).buffer.data());
}

void Executor::run(const Batch& batch, float* logits) {
  const std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) throw std::logic_error("this executor is already running in another thread");
  check_batch(batch, limits_);
  rotary_.prepare(batch.positions, batch.rows, threads_);
  Step step{batch, logits};
  using Clock = std::chrono::steady_clock;
  for (; step.op < plan_->ops.size(); ++step.op) {
    const auto start = profiling_ ? Clock::now() : Clock::time_point{};
    dispatch(plan_->ops[step.op], step);
    if (profiling_) seconds_[step.op] = std::chrono::duration<double>(Clock::now() - start).count();
  }
}

void Executor::set_profiling(bool on) {
  const std::unique_lock<std::mutex> lock(running_);
  profiling_ = on;
  seconds_.assign(plan_->ops.size(), 0.0);
}

std::vector<std::pair<OpCode, double>> Executor::timings() const {
  const std::unique_lock<std::mutex> lock(running_);
  std::vector<std::pair<OpCode, double>> result;
  if (!profiling_) return result;
  result.reserve(seconds_.size());
  for (std::size_t i = 0; i < seconds_.size(); ++i) result.emplace_back(plan_->ops[i].code, seconds_[i]);
  return result;
}

}  // namespace honed
