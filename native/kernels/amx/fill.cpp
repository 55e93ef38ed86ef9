// The table of AMX with 8-bit integers, over that of AVX-512 VNNI.
#include "kernels/amx/slots.h"

namespace honed {

amx::Below amx::below{};

void fill_amx(KernelTable& table) {
  table.isa = "amx";
  // Atomic, since executors may be made by several threads at a time; all of them store the same pointers.
  __atomic_store_n(&amx::below.matmul_int8, table.matmul_int8, __ATOMIC_RELAXED);
  __atomic_store_n(&amx::below.matmul_int4, table.matmul_int4, __ATOMIC_RELAXED);
  table.matmul_int8 = amx::matmul_int8;
  table.matmul_int4 = amx::matmul_int4;
  table.integer_peak = amx::integer_peak;
}

}  // namespace honed
