// A plan: ops in order, the slots they use, the weights and inputs they read, the outputs they give, and the shapes of
// the KV caches.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plan/op.h"
#include "plan/weight.h"

namespace honed {

// Which rows a slot holds in one step: one for each token of the batch, one for each token that is selected, or one for
// each sequence, in the order of the batch.
enum class Rows : int32_t { tokens = 0, selected = 1, sequences = 2 };

// What a row of a slot holds: `width` floats, one quantized activation row of `width` values, or which `width` of the
// experts it goes to, which only the op `route` says.
enum class SlotKind : int32_t { f32 = 0, quantized = 1, routing = 2 };

// A stretch of the arena. Slots whose lifetimes do not meet may share one.
struct Slot {
  SlotKind kind;
  Rows rows;
  int64_t width;             // values in a row
  int64_t activation_group;  // quantized: 0 or 32, 64, 128
  int32_t stretch;           // slots with one stretch number overlap in memory
  int64_t copies = 1;        // for each row so many, one for each expert that it goes to, in the order of the experts
  int64_t experts = 0;       // routing: how many there are
};

// What a batch gives for each of its tokens: a number, or a row of floats.
enum class InputKind : int32_t { ids = 0, floats = 1 };
struct Input {
  std::string name;
  InputKind kind;
  int64_t size;  // ids are from 0 to below it; of floats the width of a row
};

// The input of this name is not given: it is the positions, which every batch has.
inline constexpr std::string_view kPositions = "positions";

struct Output {
  std::string name;
  SlotNumber slot;
};

// Keys and values of the rows of one attention.
struct CacheShape {
  int64_t kv_heads;
  int64_t key_width;
  int64_t value_width;
  bool operator==(const CacheShape&) const = default;
};

struct NamedOp {
  const char* name;  // lives as long as the program
  std::unique_ptr<const Op> op;
};

struct Plan {
  std::vector<NamedOp> ops;
  std::vector<Slot> slots;
  std::vector<std::shared_ptr<const Weight>> weights;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<CacheShape> caches;  // that outlive a step

  const Slot& slot_of(const Output& output) const { return slots[static_cast<std::size_t>(output.slot)]; }
  bool has_rows(Rows rows) const;  // whether a slot has such
};

// Throws std::invalid_argument naming op, field, value and what would be right, for every plan whose ops could read or
// write outside their slots, weights, inputs or caches, or read what no op wrote.
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
