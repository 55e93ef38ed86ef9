// The machine's limits as NEON code reaches them.
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {

int64_t integer_peak(int64_t iterations) {
  constexpr int kChains = 16;  // four units of latency three are kept busy by twelve
  int32x4_t chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = vdupq_n_s32(i);
  const int8x16_t w = vdupq_n_s8(97);
  const int8x16_t x = vdupq_n_s8(-30);
  for (int64_t n = 0; n < iterations; ++n) {
    for (int i = 0; i < kChains; ++i) {
      chains[i] = vdotq_s32(chains[i], w, x);
      // Without the barrier the compiler may compute all iterations at once.
      asm volatile("" : "+w"(chains[i]));
    }
  }
  return iterations * kChains * 16;
}

uint64_t read_memory(const void* data, int64_t bytes) {
  const auto* words = static_cast<const uint64_t*>(data);
  constexpr int kSums = 8;
  uint64x2_t sums[kSums];
  for (uint64x2_t& sum : sums) sum = vdupq_n_u64(0);
  for (int64_t at = 0; at < bytes / 8; at += 2 * kSums) {
    for (int i = 0; i < kSums; ++i) sums[i] = vaddq_u64(sums[i], vld1q_u64(words + at + 2 * i));
  }
  for (int i = 1; i < kSums; ++i) sums[0] = vaddq_u64(sums[0], sums[i]);
  return vaddvq_u64(sums[0]);
}

}  // namespace honed::neon
