// One op of one step, as the op sees it: the rows of its slots, its weights, the kernels, and threads to run them on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "executor/batch.h"
#include "executor/workspace.h"

namespace honed {

// The rows of a slot, as kernels take them.
struct SlotRows {
  std::byte* data;
  int64_t row_bytes;
  const QuantizedRow* layout;  // of quantized slots
  float* floats() const { return reinterpret_cast<float*>(data); }
  int64_t stride() const { return row_bytes / 4; }
};

class Step {
 public:
  // `outputs`: where the rows of each output of the plan go, one after the other.
  Step(Workspace& workspace, const Batch& batch, float* const* outputs, std::size_t op)
      : workspace_(workspace), batch_(batch), outputs_(outputs), op_(op) {}

  const Batch& batch() const { return batch_; }
  const KernelTable& kernels() const { return workspace_.kernels; }
  Threads& threads() const { return workspace_.threads; }
  AttentionMemory& attention() const { return workspace_.attention; }
  const Segments& segments() const { return workspace_.segments; }
  template <typename T>
  const T* input(InputNumber number) const {
    return static_cast<const T*>(batch_.inputs[static_cast<std::size_t>(number)]);
  }

  // Of a cache of the caller, or, by an op that has asked for them, of the keys that are kept for the step.
  KvLayer keys(std::optional<CacheNumber> cache) const {
    if (cache) return workspace_.cache->layer(*cache);
    return workspace_.kept_keys->layer(workspace_.needs.kept_keys_of_op(op_));
  }
  Paging paging(std::optional<CacheNumber> cache) const {
    if (!cache) return workspace_.segments.own_pages();
    return {batch_.tables_of(workspace_.cache->group_of(*cache)), batch_.sequences, batch_.pages_per_table, nullptr};
  }
  RotaryTable rotary() const { return workspace_.rotary.table(op_); }    // of an op that has asked for one
  float* scratch(int thread) const { return workspace_.scratch_of(thread); }
  const Stretch* stretches() const { return workspace_.stretches.data() + op_ * threads_count(); }  // [threads]

  SlotRows rows(SlotNumber slot) const;
  int64_t row_count(SlotNumber slot) const;
  int64_t row_count(Rows rows) const;
  const Weight& weight(WeightNumber number) const {
    return *workspace_.plan->weights[static_cast<std::size_t>(number)];
  }
  const float* vector(WeightNumber number) const { return reinterpret_cast<const float*>(weight(number).buffer.data()); }
  const float* vector(std::optional<WeightNumber> number) const { return number ? vector(*number) : nullptr; }

  // fn(row_begin, row_end, thread) over ranges of rows; on the caller alone where the work, in floats, is not worth
  // waking anybody.
  template <typename Fn>
  void for_rows(int64_t count, int64_t work_of_row, const Fn& fn) const {
    // Pieces a thread, so that a thread that was held up leaves its share to the others.
    constexpr int64_t kPiecesOfThread = 4;
    constexpr int64_t kWorthSharing = 1 << 15;
    if (count == 0) return;
    const int64_t pieces = std::min(count, threads().count() * kPiecesOfThread);
    if (threads().count() == 1 || count * work_of_row < kWorthSharing) {
      fn(int64_t{0}, count, 0);
      return;
    }
    threads().for_each(pieces, [&](int64_t piece, int thread) noexcept {
      fn(piece * count / pieces, (piece + 1) * count / pieces, thread);
    });
  }

 private:
  std::size_t threads_count() const { return static_cast<std::size_t>(workspace_.threads.count()); }

  Workspace& workspace_;
  const Batch& batch_;
  float* const* outputs_;
  std::size_t op_;
};

}  // namespace honed
