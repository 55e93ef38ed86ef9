// The functions of this folder that fill_amx puts into the table. All other slots stay those of the set below: tiles
// multiply integers, and nothing else of an op would gain from them.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::amx {

void matmul_int8(const MatmulArgs& args);
void matmul_int4(const MatmulArgs& args);
int64_t integer_peak(int64_t iterations);

// Rows from which on tiles are used. A tile of fewer rows takes as long to load, store and fold as the set below takes
// to multiply, and one row has no weight to share with another.
inline constexpr int64_t kFewestRows = 5;

// The kernels that fill_amx found in the table: they take matmuls of fewer rows.
struct Below {
  void (*matmul_int8)(const MatmulArgs&);
  void (*matmul_int4)(const MatmulArgs&);
};
extern Below below;

}  // namespace honed::amx
