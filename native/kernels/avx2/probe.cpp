// The machine's limits as AVX2 code reaches them.
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {

int64_t integer_peak(int64_t iterations) {
  constexpr int kChains = 8;
  constexpr int kProducts = 32;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i weights = _mm256_set1_epi8(3);
  __m256i values = _mm256_set1_epi8(-5);
  __m256i sums[kChains];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t n = 0; n < iterations; ++n) {
    // Without the barrier the products would be computed once, outside the loop.
    asm volatile("" : "+x"(weights), "+x"(values));
    for (__m256i& sum : sums) {
      const __m256i pairs = _mm256_maddubs_epi16(weights, values);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
      asm volatile("" : "+x"(weights), "+x"(values));
    }
  }
  for (__m256i& sum : sums) asm volatile("" : "+x"(sum));
  return iterations * kChains * kProducts;
}

uint64_t read_memory(const void* data, int64_t bytes) {
  const char* place = static_cast<const char*>(data);
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 8; ++j) {
      const __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i*>(place + i + j * 32));
      sums[j] = _mm256_xor_si256(sums[j], words);
    }
  }
  __m256i total = sums[0];
  for (int j = 1; j < 8; ++j) total = _mm256_xor_si256(total, sums[j]);
  alignas(32) uint64_t words[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), total);
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

}  // namespace honed::avx2
