// The functions of this folder that fill_neon_i8mm puts into the table. All other slots stay those of the set below.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::neon_i8mm {

void matmul_int8(const MatmulArgs& args);
void matmul_int4(const MatmulArgs& args);
int64_t integer_peak(int64_t iterations);

// The kernels that fill_neon_i8mm found in the table: they take single rows, which a product of two by two would waste.
struct Below {
  void (*matmul_int8)(const MatmulArgs&);
  void (*matmul_int4)(const MatmulArgs&);
};
extern Below below;

}  // namespace honed::neon_i8mm
