// What each op requires of its record, following the table in op.h.
#include "plan/names.h"
#include "plan/op_check.h"

namespace honed {
namespace {

constexpr int64_t kMostWidth = 1 << 24;
constexpr int64_t kMostHeads = 1 << 12;

bool is_integer(WeightKind kind) {
  return kind == WeightKind::int8 || kind == WeightKind::int4 || kind == WeightKind::blocks ||
         kind == WeightKind::codebook;
}

}  // namespace

void OpCheck::check() {
  switch (op_.code) {
    case OpCode::embed: return embed();
    case OpCode::rms_norm: return rms_norm();
    case OpCode::quantize: return quantize(false);
    case OpCode::rms_norm_quantize: return quantize(true);
    case OpCode::matmul: return matmul();
    case OpCode::rope_kv: return rope_kv();
    case OpCode::attention: return attention();
    case OpCode::gated: return gated();
    case OpCode::add: return add();
    case OpCode::select: return select();
  }
  require(false, "code", static_cast<int64_t>(op_.code), "is not an op code");
}

void OpCheck::embed() {
  const int64_t width = size(0, "width", 1, kMostWidth);
  unused_sizes(1);
  const Weight& table = weight(0, "table");
  no_weights(1);
  if (table.kind != WeightKind::table) {
    reject("table", std::to_string(op_.weights[0]),
           std::string("must be a table, not ") + kWeightNames[static_cast<std::size_t>(table.kind)]);
  }
  require(table.columns == width, "width", width, "the table is " + std::to_string(table.columns) + " wide");
  require(table.rows >= plan_.vocabulary, "table rows", table.rows,
          "must be at least the vocabulary " + std::to_string(plan_.vocabulary));
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  rows_are("output", op_.output, Rows::tokens);
  writes(output, 0, width);
}

void OpCheck::rms_norm() {
  const int64_t width = size(0, "width", 1, kMostWidth);
  unused_sizes(1);
  scalar(0, "eps", true);
  vector(0, "weight", width, false);
  no_weights(1);
  slot("input", op_.input, SlotKind::f32);
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  same_rows();
  reads(op_.input, width);
  in_place();
  writes(output, 0, width);
}

void OpCheck::quantize(bool with_norm) {
  const int64_t width = size(0, "width", 1, kMostWidth);
  activation_group(1);
  unused_sizes(2);
  if (with_norm) {
    scalar(0, "eps", true);
    vector(0, "weight", width, false);
  }
  no_weights(with_norm ? 1 : 0);
  slot("input", op_.input, SlotKind::f32);
  const Slot& output = slot("output", op_.output, SlotKind::quantized);
  same_rows();
  reads(op_.input, width);
  apart();
  require(output.width == width, "width", width, "the quantized slot is " + std::to_string(output.width) + " wide");
  require(output.activation_group == op_.sizes[1], "activation_group", op_.sizes[1],
          "the quantized slot has " + std::to_string(output.activation_group));
  writes(output, 0, width);
}

void OpCheck::matmul_weight(const Weight& matrix, bool quantized) const {
  const bool integer = is_integer(matrix.kind);
  const int64_t group = op_.sizes[3];
  if (!integer) {
    require(group == 0, "activation_group", group, "must be 0 for a dense weight");
  } else if (matrix.kind == WeightKind::blocks) {
    require(group == matrix.group, "activation_group", group, "must be the " + std::to_string(matrix.group) + " of blocks");
  } else if (matrix.group != 0) {
    require(group == 0 || group == matrix.group, "activation_group", group,
            "must be 0 or the weight's group " + std::to_string(matrix.group));
  }
  if (integer != quantized) reject("input", std::to_string(op_.input), "kind does not fit the weight");
  require(matrix.columns == op_.sizes[0], "k", op_.sizes[0],
          "the weight has depth " + std::to_string(matrix.columns));
}

void OpCheck::matmul() {
  const int64_t k = size(0, "k", 1, kMostWidth);
  const int64_t columns = size(1, "columns", 1, kMostWidth);
  const auto epilogue = static_cast<Epilogue>(size(2, "epilogue", 0, 3));
  activation_group(3);
  const int64_t first = size(4, "output_column", 0, kMostWidth);
  const Weight& matrix = weight(0, "matrix");
  if (matrix.kind == WeightKind::vector || matrix.kind == WeightKind::table) {
    reject("matrix", std::to_string(op_.weights[0]),
           std::string("must be a packed matrix, not a ") + kWeightNames[static_cast<std::size_t>(matrix.kind)]);
  }
  const bool quantized = is_integer(matrix.kind);
  const Slot& input = slot("input", op_.input, quantized ? SlotKind::quantized : SlotKind::f32);
  matmul_weight(matrix, quantized);
  vector(1, "bias", matrix.rows, true);
  no_weights(2);
  const bool gated = epilogue == Epilogue::gated_silu || epilogue == Epilogue::gated_gelu_tanh;
  const int64_t most = gated ? matrix.rows / 2 : matrix.rows;
  require(columns <= most, "columns", columns, "the weight gives " + std::to_string(most));
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  same_rows();
  apart();
  reads(op_.input, k);
  if (quantized) {
    require(input.width == k, "k", k, "the quantized slot is " + std::to_string(input.width) + " wide");
    require(input.activation_group == op_.sizes[3], "activation_group", op_.sizes[3],
            "the quantized slot has " + std::to_string(input.activation_group));
  }
  require(first + columns <= output.width, "output_column + columns", first + columns,
          "slot " + std::to_string(op_.output) + " is " + std::to_string(output.width) + " wide");
  if (epilogue == Epilogue::add) reads(op_.output, first + columns);
  writes(output, first, first + columns);
}

void OpCheck::heads(bool rope) const {
  const int64_t heads = size(0, "heads", 1, kMostHeads);
  const int64_t kv_heads = op_.sizes[1];
  const int64_t head_dim = op_.sizes[2];
  const int64_t layer = op_.sizes[rope ? 4 : 3];
  require(kv_heads == plan_.kv_heads, "kv_heads", kv_heads, "the plan has " + std::to_string(plan_.kv_heads));
  require(head_dim == plan_.head_dim, "head_dim", head_dim, "the plan has " + std::to_string(plan_.head_dim));
  require(heads % kv_heads == 0, "heads", heads, "must be a multiple of kv_heads = " + std::to_string(kv_heads));
  require(layer >= 0 && layer < plan_.layers, "layer", layer, "the plan has " + std::to_string(plan_.layers));
  slot("input", op_.input, SlotKind::f32);
  rows_are("input", op_.input, Rows::tokens);
  reads(op_.input, (heads + 2 * kv_heads) * head_dim);
}

void OpCheck::rope_kv() {
  heads(true);
  const int64_t rotary_dim = size(3, "rotary_dim", 2, plan_.head_dim);
  require(rotary_dim % 2 == 0, "rotary_dim", rotary_dim, "must be even");
  vector(0, "inv_freq", rotary_dim / 2, false);
  vector(1, "q_norm", plan_.head_dim, true);
  vector(2, "k_norm", plan_.head_dim, true);
  scalar(0, "eps", op_.weights[1] != kNoWeight || op_.weights[2] != kNoWeight);
  scalar(1, "attention_factor", true);
  require(op_.output == op_.input, "output", op_.output, "must be the input slot, which is changed in place");
  contents_.write_layer(op_.sizes[4]);
}

void OpCheck::attention() {
  heads(false);
  size(4, "window", 0, int64_t{1} << 40);
  scalar(0, "scale", false);
  no_weights(0);
  require(contents_.layer_written(op_.sizes[3]), "layer", op_.sizes[3], "no rope_kv before this op writes its keys");
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  rows_are("output", op_.output, Rows::tokens);
  apart();
  writes(output, 0, op_.sizes[0] * op_.sizes[2]);
}

void OpCheck::gated() {
  const int64_t width = size(0, "width", 1, kMostWidth);
  size(1, "activation", 0, 1);
  unused_sizes(2);
  no_weights(0);
  slot("input", op_.input, SlotKind::f32);
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  same_rows();
  reads(op_.input, 2 * width);
  apart();
  writes(output, 0, width);
}

void OpCheck::add() {
  const int64_t width = size(0, "width", 1, kMostWidth);
  unused_sizes(1);
  no_weights(0);
  slot("input", op_.input, SlotKind::f32);
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  same_rows();
  reads(op_.input, width);
  reads(op_.output, width);
  in_place();
  writes(output, 0, width);
}

void OpCheck::select() {
  const int64_t width = size(0, "width", 1, kMostWidth);
  unused_sizes(1);
  no_weights(0);
  slot("input", op_.input, SlotKind::f32);
  const Slot& output = slot("output", op_.output, SlotKind::f32);
  rows_are("input", op_.input, Rows::tokens);
  rows_are("output", op_.output, Rows::selected);
  reads(op_.input, width);
  apart();
  writes(output, 0, width);
}

}  // namespace honed
