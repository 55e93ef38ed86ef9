// Packs float matrices into panels of f32 or bf16.
#pragma once

#include <cstdint>
#include <memory>

#include "executor/threads.h"
#include "packing/placement.h"
#include "plan/weight.h"

namespace honed {

enum class FloatType : int32_t { f32 = 0, bf16 = 1, f16 = 2 };

// The packed form of n columns of depth k, without panels. `kind` is dense_f32 or dense_bf16. Throws
// std::invalid_argument for sizes out of range.
Weight dense_layout(int64_t n, int64_t k, WeightKind kind);

class DenseBuilder {
 public:
  // `kind` is dense_f32 or dense_bf16. Throws std::invalid_argument for sizes out of range.
  DenseBuilder(int64_t n, int64_t k, WeightKind kind, int threads);
  // values [rows][k] of `type`. Throws std::invalid_argument as Columns::check.
  void place(const void* values, FloatType type, const Placement& placement);
  std::shared_ptr<const Weight> finish();
  int64_t k() const { return columns_.k(); }

 private:
  Columns columns_;
  Threads threads_;
  std::shared_ptr<Weight> weight_;
};

}  // namespace honed
