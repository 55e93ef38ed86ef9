#include "executor/ops/product.h"

#include <algorithm>
#include <string>

#include "plan/weight_kind.h"

namespace honed::ops {
namespace {

// Activations of one block of rows.
constexpr int64_t kBytesOfRowBlock = 128 << 10;
constexpr int64_t kMostRowsOfBlock = 256;

}  // namespace

int64_t rows_of_block(int64_t rows, int64_t row_bytes) {
  if (rows <= kRowsOfStream) return rows;
  const int64_t fit = kBytesOfRowBlock / row_bytes / kRowsOfStream * kRowsOfStream;
  return std::clamp(fit, kRowsOfStream, kMostRowsOfBlock);
}

MatmulKernel matmul_kernel(WeightKind kind, const KernelTable& kernels) { return kernels.*traits(kind).matmul; }

const Weight& check_matrix(const Check& check, const char* field, WeightNumber matrix, int64_t k) {
  const Weight& weight = check.weight(field, matrix);
  check.require(traits(weight.kind).is_matrix(), field, matrix,
                std::string("must be a packed matrix, not a ") + traits(weight.kind).name);
  check.require(weight.columns == k, "k", k, "the weight has depth " + std::to_string(weight.columns));
  return weight;
}

void check_product_input(const Check& check, const Weight& matrix, SlotNumber input, int64_t k,
                         int64_t activation_group) {
  const std::string given = std::to_string(matrix.group);
  if (!traits(matrix.kind).quantizes()) {
    check.require(activation_group == 0, "activation_group", activation_group, "must be 0 for a dense weight");
    check.slot("input", input, SlotKind::f32);
    check.reads(input, k);
    return;
  }
  if (matrix.kind == WeightKind::blocks) {
    check.require(activation_group == matrix.group, "activation_group", activation_group,
                  "must be the " + given + " of blocks");
  } else if (matrix.group != 0) {
    check.require(activation_group == 0 || activation_group == matrix.group, "activation_group", activation_group,
                  "must be 0 or the weight's group " + given);
  }
  const Slot& slot = check.slot("input", input, SlotKind::quantized);
  check.reads(input, k);
  check.require(slot.width == k, "k", k, "the quantized slot is " + std::to_string(slot.width) + " wide");
  check.require(slot.activation_group == activation_group, "activation_group", activation_group,
                "the quantized slot has " + std::to_string(slot.activation_group));
}

int64_t columns_given(const Weight& matrix, Epilogue epilogue) {
  const bool gated = epilogue != Epilogue::store && epilogue != Epilogue::add;
  return gated ? matrix.rows / 2 : matrix.rows;
}

MatmulArgs Product::args() const {
  return {.x = x.data,
          .x_row_bytes = x.row_bytes,
          .scales_offset = x.layout->scales_offset,
          .sums_offset = x.layout->sums_offset,
          .row_begin = 0,
          .row_end = count,
          .panels = matrix.panels,
          .panel_bytes = matrix.panel_bytes,
          .panel_begin = 0,
          .panel_end = matrix.rows / kPanelColumns,
          .k = k,
          .k_padded = matrix.k_padded,
          .columns = columns,
          .column_scales = matrix.column_scales.empty() ? nullptr : matrix.column_scales.data(),
          .bias = bias,
          .codebook = matrix.codebook.data(),
          .group = matrix.group,
          .activation_group = activation_group,
          .offset = matrix.offset,
          .block_form = matrix.block_form,
          .epilogue = epilogue,
          .y = y,
          .y_stride = y_stride,
          .factor = factor};
}

}  // namespace honed::ops
