// The choice of one token from a row of logits.
#pragma once

#include <cstdint>

#include "choosing/row_choice.h"
#include "choosing/scratch.h"
#include "cpu/kernel_table.h"

namespace honed {

// The logits are not changed; greatest: what the argmax kernel says of them. The choice is used up.
Chosen choose_row(const float* logits, int64_t vocabulary, const Choice& greatest, RowChoice& choice,
                  const KernelTable& kernels, ChoosingScratch& scratch);

}  // namespace honed
