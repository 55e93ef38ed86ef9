// The table of aarch64 with int8 matrix products (FEAT_I8MM), over that of NEON with dot products.
#include "kernels/neon_i8mm/slots.h"

namespace honed {

neon_i8mm::Below neon_i8mm::below{};

void fill_neon_i8mm(KernelTable& table) {
  table.isa = "neon_i8mm";
  // Atomic, since executors may be made by several threads at a time; all of them store the same pointers.
  __atomic_store_n(&neon_i8mm::below.matmul_int8, table.matmul_int8, __ATOMIC_RELAXED);
  __atomic_store_n(&neon_i8mm::below.matmul_int4, table.matmul_int4, __ATOMIC_RELAXED);
  table.matmul_int8 = neon_i8mm::matmul_int8;
  table.matmul_int4 = neon_i8mm::matmul_int4;
  table.integer_peak = neon_i8mm::integer_peak;
}

}  // namespace honed
