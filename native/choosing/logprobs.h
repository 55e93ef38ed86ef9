// Log-probabilities of the softmax of a row of logits.
#pragma once

#include <cstdint>

#include "choosing/row_choice.h"
#include "choosing/scratch.h"
#include "cpu/kernel_table.h"

namespace honed {

// ln x for finite x >= 1, the same on every machine: see log_positive of src/honed/runtime/exponential.py.
double log_positive(double x);

// Of `token`, and of the `count` most probable ones. sum: of exp(logit - greatest), one by one; negative where it is not
// known yet.
Logprobs logprobs_of(const float* logits, int64_t vocabulary, float greatest, int32_t token, int64_t count, double sum,
                     const KernelTable& kernels, ChoosingScratch& scratch);

}  // namespace honed
