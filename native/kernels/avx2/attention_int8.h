// Attention over an int8 KV cache, which attention.cpp hands on.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::avx2 {

void attend_int8(const AttentionArgs& args);

}  // namespace honed::avx2
