// Attention over an int8 KV cache, which attention.cpp hands on.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::avx512vnni {

void attend_int8(const AttentionArgs& args);

}  // namespace honed::avx512vnni
