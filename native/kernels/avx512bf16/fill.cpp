// The table of AVX-512 with products of bfloat16 pairs, over that of AVX-512 VNNI.
#include "kernels/avx512bf16/slots.h"

namespace honed {

avx512bf16::Below avx512bf16::below{};

void fill_avx512bf16(KernelTable& table) {
  table.isa = "avx512bf16";
  // Atomic, since executors may be made by several threads at a time; all of them store the same pointer.
  __atomic_store_n(&avx512bf16::below.attention, table.attention, __ATOMIC_RELAXED);
  table.attention = avx512bf16::attention;
}

}  // namespace honed
