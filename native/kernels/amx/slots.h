// The functions of this folder that fill_amx puts into the table. All other slots stay those of the set below: tiles
// multiply integers, and nothing else of an op would gain from them.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::amx {

void matmul_int8(const MatmulArgs& args);
void matmul_int4(const MatmulArgs& args);
int64_t integer_peak(int64_t iterations);

// Rows from which on tiles are used: of int8, of int4 that is widened first, and of either in groups of one block. Before
// that the set below is faster (docs/measurements/kernels-amx.md).
inline constexpr int64_t kFewestRows = 8;
inline constexpr int64_t kFewestRowsInBlocks = 16;
inline constexpr int64_t kFewestWidenedRows = 24;
inline constexpr int64_t kFewestWidenedRowsInBlocks = 48;

// The kernels that fill_amx found in the table: they take matmuls of fewer rows.
struct Below {
  void (*matmul_int8)(const MatmulArgs&);
  void (*matmul_int4)(const MatmulArgs&);
};
extern Below below;

}  // namespace honed::amx
