// Runs a validated plan step by step, over KV caches where it has some.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "choosing/row_choice.h"
#include "choosing/scratch.h"
#include "executor/batch.h"
#include "executor/workspace.h"
#include "plan/plan.h"

namespace honed {

class Executor {
 public:
  // Where the rows of an output go, one after the other: called once for each output of a step whose batch has passed
  // its check.
  using OutputMemory = std::function<float*(std::size_t output, int64_t rows, int64_t width)>;

  // `cache` is null for a plan without caches. `isa` as for select_kernels. Throws std::invalid_argument where plan and
  // cache do not fit or a size is out of range.
  Executor(std::shared_ptr<const Plan> plan, std::shared_ptr<Cache> cache, int64_t max_tokens, int64_t max_selected,
           int threads, const std::string& isa);

  // Checks the whole batch first (std::invalid_argument); a second call while one is running throws std::logic_error.
  void run(const Batch& batch, const OutputMemory& memory);

  // Of a plan with one output, of selected rows (std::invalid_argument for another): the same, but its rows, logits, stay
  // inside until the next step of either kind.
  void compute(const Batch& batch);

  // A token of each row of the last compute, whose choices are used up. Any number of times after it;
  // std::invalid_argument where there are not as many.
  std::vector<Chosen> choose(std::vector<RowChoice>& rows);

  const char* isa() const { return workspace_.kernels.isa; }
  int threads() const { return workspace_.threads.count(); }
  int64_t arena_bytes() const { return workspace_.arena.bytes(); }
  const Plan& plan() const { return *workspace_.plan; }
  int64_t max_selected() const { return limits_.max_selected; }
  void set_profiling(bool on);
  std::vector<std::pair<const char*, double>> timings() const;  // name and seconds of each op of the last profiled run

 private:
  std::unique_lock<std::mutex> claim();  // std::logic_error while another thread runs
  void check_logits() const;
  void run_ops(const Batch& batch, const OutputMemory& memory);
  void find_greatest();  // of the computed rows
  void choose_others(std::vector<RowChoice>& rows, std::vector<Chosen>& chosen);

  Workspace workspace_;
  BatchLimits limits_;
  std::vector<float*> outputs_;          // of the step
  AlignedBuffer logits_;                 // of compute, as many rows as were ever asked for at once
  int64_t computed_rows_ = 0;
  std::vector<Choice> partial_choices_;  // [pieces of the columns][rows]
  std::vector<Choice> greatest_;         // of each computed row
  std::vector<ChoosingScratch> choosing_;  // of each thread, made when first needed
  bool profiling_ = false;
  std::vector<double> seconds_;
  mutable std::mutex running_;
};

}  // namespace honed
