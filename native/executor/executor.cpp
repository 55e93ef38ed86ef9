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
  stretches_ = stretches();
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
  const auto lock = claim();
  run_ops(batch, logits);
}

void Executor::run_greedy(const Batch& batch, Choice* choices) {
  const auto lock = claim();
  if (greedy_logits_.size() == 0) {
    const auto floats = static_cast<std::size_t>(limits_.max_selected * plan_->logits);
    greedy_logits_ = AlignedBuffer(floats * sizeof(float));
  }
  auto* logits = reinterpret_cast<float*>(greedy_logits_.data());
  run_ops(batch, logits);
  choose(batch.selected_rows, logits, choices);
}

std::unique_lock<std::mutex> Executor::claim() {
  std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) throw std::logic_error("this executor is already running in another thread");
  return lock;
}

void Executor::choose(int64_t rows, const float* logits, Choice* choices) {
  if (rows == 0) return;
  const int64_t pieces = std::min<int64_t>(threads_.count(), plan_->logits);
  partial_choices_.resize(std::max(partial_choices_.size(), static_cast<std::size_t>(pieces * rows)));
  threads_.for_each(pieces, [&](int64_t piece, int) noexcept {
    kernels_.argmax({.x = logits,
                     .x_stride = plan_->logits,
                     .row_begin = 0,
                     .row_end = rows,
                     .column_begin = piece * plan_->logits / pieces,
                     .column_end = (piece + 1) * plan_->logits / pieces,
                     .choices = partial_choices_.data() + piece * rows});
  });
  std::copy_n(partial_choices_.data(), rows, choices);
  for (int64_t piece = 1; piece < pieces; ++piece) {
    for (int64_t row = 0; row < rows; ++row) {
      const Choice& other = partial_choices_[static_cast<std::size_t>(piece * rows + row)];
      const int32_t all_finite = choices[row].all_finite & other.all_finite;
      if (other.value > choices[row].value) choices[row] = other;
      choices[row].all_finite = all_finite;
    }
  }
}

void Executor::run_ops(const Batch& batch, float* logits) {
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
