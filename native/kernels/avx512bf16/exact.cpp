// Whether VDPBF16PS of this processor is what the contract says: the manuals leave order and roundings to be read off
// their listings, so a processor is asked before its first attention.
#include "kernels/avx512bf16/slots.h"
#include "kernels/avx512vnni/vector.h"
#include "kernels/shared/flush.h"

namespace honed::avx512bf16 {
namespace {

using avx512vnni::Vector;

constexpr int kVectors = 512;  // some microseconds

// Bits whose exponents lie in one of the ranges where order, rounding or flushing show: near 1, near the smallest
// normal number, denormals among them, and anywhere.
class Operands {
 public:
  uint32_t next(int kind) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    const auto bits = static_cast<uint32_t>(state_ >> 16);
    if (kind == 2) return bits;
    const uint32_t exponent = kind == 0 ? 120 + (bits >> 23) % 16 : (bits >> 23) % 80;
    return (bits & 0x807fffffu) | exponent << 23;
  }
  // Pairs have the exponents of both halves in that range.
  uint32_t pair(int kind) { return (next(kind) & 0xffff0000u) | next(kind) >> 16; }

 private:
  uint64_t state_ = 88172645463325252u;
};

bool is_no_number(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

[[gnu::noinline]] bool all_as_fma() {
  const shared::FlushedDenormals flushed;
  Operands operands;
  for (int i = 0; i < kVectors; ++i) {
    const int kind = i % 3;
    alignas(64) uint32_t a[16];
    alignas(64) uint32_t b[16];
    alignas(64) uint32_t c[16];
    for (int lane = 0; lane < 16; ++lane) {
      a[lane] = operands.pair(kind);
      b[lane] = operands.pair(kind);
      c[lane] = operands.next(kind);
    }
    const __m512i x = _mm512_load_si512(a);
    const __m512i y = _mm512_load_si512(b);
    const __m512 sum = _mm512_castsi512_ps(_mm512_load_si512(c));
    const __m512 xs = _mm512_castsi512_ps(x);
    const __m512 ys = _mm512_castsi512_ps(y);
    const __m512 upper = _mm512_fmadd_ps(Vector::upper_bf16(xs), Vector::upper_bf16(ys), sum);
    const __m512 expected = _mm512_fmadd_ps(Vector::lower_bf16(xs), Vector::lower_bf16(ys), upper);
    Vector::store_ints(reinterpret_cast<int32_t*>(a), _mm512_castps_si512(expected));
    Vector::store_ints(reinterpret_cast<int32_t*>(b),
                       _mm512_castps_si512(_mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y)));
    for (int lane = 0; lane < 16; ++lane) {
      if (a[lane] != b[lane] && !(is_no_number(a[lane]) && is_no_number(b[lane]))) return false;
    }
  }
  return true;
}

}  // namespace

bool multiplies_as_fma() {
  static const bool answer = all_as_fma();
  return answer;
}

}  // namespace honed::avx512bf16
