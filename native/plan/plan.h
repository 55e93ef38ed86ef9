// A plan: ops in order, the slots they use, the weights they read, and the shape of the KV cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plan/op.h"
#include "plan/weight.h"

namespace honed {

// Which rows a slot holds in one step: one for each token of the batch, or one for each row whose logits are
// asked for.
enum class Rows : int32_t { tokens = 0, selected = 1 };

// What a row of a slot holds: `width` floats, or one quantized activation row of `width` values.
enum class SlotKind : int32_t { f32 = 0, quantized = 1 };

// A stretch of the arena. Slots whose lifetimes do not meet may share one stretch: `offset_group` says which.
struct Slot {
  SlotKind kind;
  Rows rows;
  int64_t width;             // values in a row
  int64_t activation_group;  // quantized: 0 or 32, 64, 128
  int32_t stretch;           // slots with one stretch number overlap in memory
};

struct Plan {
  std::vector<Op> ops;
  std::vector<Slot> slots;
  std::vector<std::shared_ptr<const Weight>> weights;
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocabulary = 0;  // rows of the embedding table
  int64_t logits = 0;      // columns of the last op
};

// Throws std::invalid_argument naming op, field, value and what would be right.
void validate(const Plan& plan);

// Byte layout of a quantized activation row; the one place that decides it.
struct QuantizedRow {
  int64_t width_padded;
  int64_t scales_offset;
  int64_t sums_offset;
  int64_t bytes;
};
QuantizedRow quantized_row(int64_t width, int64_t activation_group);

}  // namespace honed
