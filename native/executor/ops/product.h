// What the ops that multiply by packed matrices share: which input a matrix takes, and its kernel. Every output has one fixed
// order of operations inside its kernel, so neither the pieces nor who takes them can change a result.
#pragma once

#include <array>
#include <cstdint>

#include "executor/step.h"
#include "plan/check.h"

namespace honed::ops {

// Rows up to here go over each panel at once: the weights are read once, as one linear stream.
inline constexpr int64_t kRowsOfStream = 16;
inline constexpr int64_t kBytesOfChunk = 384 << 10;  // of panels, to stay in the second cache beside the rows of a block

inline constexpr std::array kEpilogueNames{"store",           "add",        "gated_silu",
                                           "gated_gelu_tanh", "gated_gelu", "gated_clamped_silu"};

// Rows of a block, whose activations stay in the second cache while panels pass.
int64_t rows_of_block(int64_t rows, int64_t row_bytes);

using MatmulKernel = void (*)(const MatmulArgs&);
MatmulKernel matmul_kernel(WeightKind kind, const KernelTable& kernels);

// A packed matrix of depth k.
const Weight& check_matrix(const Check& check, const char* field, WeightNumber matrix, int64_t k);

// Rows of the input are those that the matrix takes, and written.
void check_product_input(const Check& check, const Weight& matrix, SlotNumber input, int64_t k, int64_t activation_group);

// The most columns that are written with an epilogue.
int64_t columns_given(const Weight& matrix, Epilogue epilogue);

// All panels over rows [0, count). `x` and `y` begin at the first of them.
struct Product {
  SlotRows x;
  int64_t count;
  const Weight& matrix;
  const float* bias;
  int64_t k, columns;
  int64_t activation_group;
  Epilogue epilogue;
  float* y;
  int64_t y_stride;
  float factor = 1.0f;  // epilogue add

  MatmulArgs args() const;
};

}  // namespace honed::ops
