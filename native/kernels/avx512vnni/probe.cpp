// The machine's limits as AVX-512 code reaches them.
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

namespace {

// The compiler may neither see through `x` nor compute several iterations at once.
static inline void pin(__m512i& x) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(x));
#else  // emulated intrinsics: a struct has no register
  asm volatile("" : "+m"(x));
#endif
}

}  // namespace

int64_t integer_peak(int64_t iterations) {
  constexpr int kChains = 12;  // two units of latency five are kept busy by ten
  __m512i w = _mm512_set1_epi8(97);
  __m512i x = _mm512_set1_epi8(-30);
  // Twelve names, since an array of them would pass through memory.
  __m512i a = w, b = w, c = w, d = w, e = w, f = w, g = w, h = w, i = w, j = w, k = w, l = w;
  const auto step = [&w, &x](__m512i& chain) {
    chain = _mm512_dpbusd_epi32(chain, w, x);
    pin(chain);
  };
  for (int64_t n = 0; n < iterations; ++n) {
    step(a), step(b), step(c), step(d), step(e), step(f), step(g), step(h), step(i), step(j), step(k), step(l);
  }
  return iterations * kChains * 64;
}

uint64_t read_memory(const void* data, int64_t bytes) {
  const char* source = static_cast<const char*>(data);
  __m512i sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = _mm512_setzero_si512();
  for (int64_t at = 0; at < bytes; at += 256) {
    for (int i = 0; i < 4; ++i) {
      _mm_prefetch(source + at + i * 64 + 2048, _MM_HINT_T0);
      sums[i] = _mm512_add_epi64(sums[i], _mm512_loadu_si512(source + at + i * 64));
    }
  }
  const __m512i total = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  // Not _mm512_reduce_add_epi64, whose sum is signed and may overflow.
  alignas(64) uint64_t lanes[8];
  _mm512_store_si512(lanes, total);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

}  // namespace honed::avx512vnni
