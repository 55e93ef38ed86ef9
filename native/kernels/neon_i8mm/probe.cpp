// The machine's limit as int8 matrix products reach it.
#include "kernels/neon/vector.h"
#include "kernels/neon_i8mm/slots.h"

namespace honed::neon_i8mm {

int64_t integer_peak(int64_t iterations) {
  constexpr int kChains = 16;  // four units of latency three are kept busy by twelve
  int32x4_t chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = vdupq_n_s32(i);
  const int8x16_t w = vdupq_n_s8(97);
  const int8x16_t x = vdupq_n_s8(-30);
  for (int64_t n = 0; n < iterations; ++n) {
    for (int i = 0; i < kChains; ++i) {
      chains[i] = vmmlaq_s32(chains[i], w, x);
      // Without the barrier the compiler may compute all iterations at once.
      asm volatile("" : "+w"(chains[i]));
    }
  }
  return iterations * kChains * 32;
}

}  // namespace honed::neon_i8mm
