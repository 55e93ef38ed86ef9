// Runs a validated plan step by step over a KV cache.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cpu/kernel_table.h"
#include "executor/arena.h"
#include "executor/attention.h"
#include "executor/batch.h"
#include "executor/cache.h"
#include "executor/rotary.h"
#include "executor/threads.h"
#include "plan/plan.h"

namespace honed {

class Executor {
 public:
  // `isa` as for select_kernels. Throws std::invalid_argument where plan and cache do not fit or a size is out of
  // range.
  Executor(std::shared_ptr<const Plan> plan, std::shared_ptr<Cache> cache, int64_t max_tokens, int64_t max_selected,
           int threads, const std::string& isa);

  // Writes [selected_rows][plan.logits] floats. Checks the whole batch first (std::invalid_argument); a second
  // call while one is running throws std::logic_error.
  void run(const Batch& batch, float* logits);

  // The same, and of each selected row the greatest logit, to choices[selected_rows]; the logits stay inside.
  void run_greedy(const Batch& batch, Choice* choices);

  const char* isa() const { return kernels_.isa; }
  int threads() const { return threads_.count(); }
  int64_t arena_bytes() const { return arena_.bytes(); }
  int64_t logits() const { return plan_->logits; }
  int64_t max_selected() const { return limits_.max_selected; }
  void set_profiling(bool on);
  std::vector<std::pair<OpCode, double>> timings() const;  // seconds of each op of the last profiled run

 private:
  struct Step {
    const Batch& batch;
    float* logits;
    std::size_t op = 0;
  };
  struct Rows {  // a slot as the kernels take it
    std::byte* data;
    int64_t row_bytes;
    const QuantizedRow* layout;
    float* floats() const { return reinterpret_cast<float*>(data); }
    int64_t stride() const { return row_bytes / 4; }
  };

  Rows rows(int32_t slot, const Step& step) const;
  int64_t row_count(int32_t slot, const Step& step) const;
  const Weight& weight(const Op& op, int which) const;
  const float* vector_or_null(const Op& op, int which) const;
  float* scratch(int thread) const;
  std::vector<Stretch> stretches() const;

  std::unique_lock<std::mutex> claim();  // std::logic_error while another thread runs
  void run_ops(const Batch& batch, float* logits);
  void choose(int64_t rows, const float* logits, Choice* choices);
  void dispatch(const Op& op, const Step& step);
  void embed(const Op& op, const Step& step);
  void rms_norm(const Op& op, const Step& step);
  void quantize(const Op& op, const Step& step);
  void rms_norm_quantize(const Op& op, const Step& step);
  void matmul(const Op& op, const Step& step);
  void expect_matmul_after(const Step& step);
  void rope_kv(const Op& op, const Step& step);
  void attention(const Op& op, const Step& step);
  void gated(const Op& op, const Step& step);
  void add(const Op& op, const Step& step);
  void select(const Op& op, const Step& step);

  // fn(row_begin, row_end, thread) over ranges of rows; on the caller alone where the work is not worth waking
  // anybody.
  template <typename Fn>
  void for_rows(int64_t count, int64_t work_of_row, const Fn& fn);

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<Cache> cache_;
  BatchLimits limits_;
  KernelTable kernels_;
  std::vector<Stretch> stretches_;  // [ops][threads]: of the matmul that follows an op, what each thread reads first
  Threads threads_;                 // after the stretches, which its workers look at until they end
  Arena arena_;
  Rotary rotary_;
  AttentionMemory attention_;
  int64_t scratch_bytes_ = 0;  // of one thread
  AlignedBuffer scratch_;
  AlignedBuffer greedy_logits_;          // of run_greedy, made by its first call
  std::vector<Choice> partial_choices_;  // [pieces of the columns][rows]
  bool profiling_ = false;
  std::vector<double> seconds_;
  mutable std::mutex running_;
};

}  // namespace honed
