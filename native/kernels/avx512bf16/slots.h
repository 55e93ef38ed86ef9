// The functions of this folder that fill_avx512bf16 puts into the table. All other slots stay those of the set below:
// bfloat16 pairs multiply nothing else without rounding more than the contract allows.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::avx512bf16 {

void attention(const AttentionArgs& args);

// Whether products of pairs are two fused multiply-adds, the upper halves first, with denormals flushed. Only for
// processors that have them.
bool multiplies_as_fma();

// The kernel that fill_avx512bf16 found in the table: it takes caches of other types.
struct Below {
  void (*attention)(const AttentionArgs&);
};
extern Below below;

}  // namespace honed::avx512bf16
