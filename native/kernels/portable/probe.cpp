// The machine's limits as plain code reaches them.
#include <cstdint>

#include "kernels/portable/slots.h"

namespace honed::portable {

int64_t integer_peak(int64_t iterations) {
  constexpr int kWidth = 64;
  alignas(64) int8_t x[kWidth];
  alignas(64) int8_t w[kWidth];
  alignas(64) uint32_t sums[kWidth] = {};  // unsigned: they wrap
  for (int i = 0; i < kWidth; ++i) {
    x[i] = static_cast<int8_t>(i - 30);
    w[i] = static_cast<int8_t>(97 - 3 * i);
  }
  for (int64_t n = 0; n < iterations; ++n) {
    // Without the barrier the products would be computed once, outside the loop.
    asm volatile("" : : "r"(x), "r"(w), "r"(sums) : "memory");
    for (int i = 0; i < kWidth; ++i) sums[i] += static_cast<uint32_t>(static_cast<int32_t>(x[i]) * w[i]);
  }
  asm volatile("" : : "r"(sums) : "memory");
  return iterations * kWidth;
}

uint64_t read_memory(const void* data, int64_t bytes) {
  const uint64_t* words = static_cast<const uint64_t*>(data);
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < bytes / 8; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (int j = 0; j < 8; ++j) total += sums[j];
  return total;
}

}  // namespace honed::portable
