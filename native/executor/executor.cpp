// The loop over the ops of a plan. What each op does, and how it is split over the threads, is in its file in ops/.
#include "executor/executor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>

#include "choosing/choose_row.h"
#include "executor/step.h"

namespace honed {

Executor::Executor(std::shared_ptr<const Plan> plan, std::shared_ptr<Cache> cache, int64_t max_tokens,
                   int64_t max_selected, int threads, const std::string& isa)
    : workspace_(std::move(plan), std::move(cache), max_tokens, max_selected, threads, isa),
      limits_{max_tokens, max_selected, workspace_.cache == nullptr ? std::vector<int64_t>() : workspace_.cache->pages(),
              workspace_.cache == nullptr || workspace_.kept_keys != nullptr, workspace_.plan->inputs},
      outputs_(workspace_.plan->outputs.size()),
      seconds_(workspace_.plan->ops.size(), 0.0) {}

void Executor::run(const Batch& batch, const OutputMemory& memory) {
  const auto lock = claim();
  run_ops(batch, memory);
}

void Executor::compute(const Batch& batch) {
  const auto lock = claim();
  check_logits();
  computed_rows_ = 0;
  run_ops(batch, [this](std::size_t, int64_t rows, int64_t width) {
    const auto bytes = static_cast<std::size_t>(rows * width) * sizeof(float);
    if (logits_.size() < bytes) {  // twice as many, so that a batch that grows row by row seldom moves it
      const auto most = static_cast<std::size_t>(limits_.max_selected * width) * sizeof(float);
      logits_ = AlignedBuffer(std::max(bytes, std::min(2 * bytes, most)));
    }
    return reinterpret_cast<float*>(logits_.data());
  });
  computed_rows_ = batch.selected_rows;
}

std::vector<Chosen> Executor::choose(std::vector<RowChoice>& rows) {
  const auto lock = claim();
  if (static_cast<int64_t>(rows.size()) != computed_rows_) {
    throw std::invalid_argument("choose: " + std::to_string(rows.size()) + " rows: must be " +
                                std::to_string(computed_rows_) + ", as many as the last compute selected");
  }
  std::vector<Chosen> chosen(rows.size());
  if (rows.empty()) return chosen;
  find_greatest();
  bool all = true;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const bool done = rows[row].is_argmax() && greatest_[row].all_finite != 0;
    if (done) chosen[row].token = greatest_[row].column;
    all = all && done;
  }
  if (!all) choose_others(rows, chosen);
  return chosen;
}

void Executor::choose_others(std::vector<RowChoice>& rows, std::vector<Chosen>& chosen) {
  const int64_t columns = plan().slot_of(plan().outputs.front()).width;
  while (choosing_.size() < static_cast<std::size_t>(threads())) choosing_.emplace_back(columns);
  const auto* logits = reinterpret_cast<const float*>(logits_.data());
  std::atomic<bool> out_of_memory = false;
  workspace_.threads.for_each(computed_rows_, [&](int64_t row, int thread) noexcept {
    const auto place = static_cast<std::size_t>(row);
    if (chosen[place].token >= 0) return;
    try {
      chosen[place] = choose_row(logits + row * columns, columns, greatest_[place], rows[place], workspace_.kernels,
                                 choosing_[static_cast<std::size_t>(thread)]);
    } catch (const std::bad_alloc&) {
      out_of_memory = true;
    }
  });
  if (out_of_memory) throw std::bad_alloc();
}

void Executor::check_logits() const {
  const std::vector<Output>& outputs = plan().outputs;
  if (outputs.size() != 1 || plan().slot_of(outputs.front()).rows != Rows::selected) {
    throw std::invalid_argument("compute: the plan gives " + std::to_string(outputs.size()) + " outputs, the first '" +
                                outputs.front().name + "': must be one, of selected rows, of which tokens are chosen");
  }
}

std::unique_lock<std::mutex> Executor::claim() {
  std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock.owns_lock()) throw std::logic_error("this executor is already running in another thread");
  return lock;
}

void Executor::find_greatest() {
  const int64_t rows = computed_rows_;
  const int64_t columns = plan().slot_of(plan().outputs.front()).width;
  const int64_t pieces = std::min<int64_t>(threads(), columns);
  partial_choices_.resize(std::max(partial_choices_.size(), static_cast<std::size_t>(pieces * rows)));
  workspace_.threads.for_each(pieces, [&](int64_t piece, int) noexcept {
    workspace_.kernels.argmax({.x = reinterpret_cast<const float*>(logits_.data()),
                               .x_stride = columns,
                               .row_begin = 0,
                               .row_end = rows,
                               .column_begin = piece * columns / pieces,
                               .column_end = (piece + 1) * columns / pieces,
                               .choices = partial_choices_.data() + piece * rows});
  });
  greatest_.assign(partial_choices_.begin(), partial_choices_.begin() + rows);
  for (int64_t piece = 1; piece < pieces; ++piece) {
    for (int64_t row = 0; row < rows; ++row) {
      const Choice& other = partial_choices_[static_cast<std::size_t>(piece * rows + row)];
      Choice& greatest = greatest_[static_cast<std::size_t>(row)];
      const int32_t all_finite = greatest.all_finite & other.all_finite;
      if (other.value > greatest.value) greatest = other;
      greatest.all_finite = all_finite;
    }
  }
}

void Executor::run_ops(const Batch& batch, const OutputMemory& memory) {
  check_batch(batch, limits_);
  workspace_.segments.find(batch);
  workspace_.rotary.prepare(batch.positions, batch.rows, workspace_.threads);
  using Clock = std::chrono::steady_clock;
  const std::vector<NamedOp>& ops = plan().ops;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Slot& slot = plan().slot_of(plan().outputs[i]);
    outputs_[i] = memory(i, Step(workspace_, batch, outputs_.data(), 0).row_count(slot.rows), slot.width);
  }
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const auto start = profiling_ ? Clock::now() : Clock::time_point{};
    ops[i].op->run(Step(workspace_, batch, outputs_.data(), i));
    if (profiling_) seconds_[i] = std::chrono::duration<double>(Clock::now() - start).count();
  }
}

void Executor::set_profiling(bool on) {
  const std::unique_lock<std::mutex> lock(running_);
  profiling_ = on;
  seconds_.assign(workspace_.plan->ops.size(), 0.0);
}

std::vector<std::pair<const char*, double>> Executor::timings() const {
  const std::unique_lock<std::mutex> lock(running_);
  std::vector<std::pair<const char*, double>> result;
  if (!profiling_) return result;
  result.reserve(seconds_.size());
  for (std::size_t i = 0; i < seconds_.size(); ++i) result.emplace_back(workspace_.plan->ops[i].name, seconds_[i]);
  return result;
}

}  // namespace honed
