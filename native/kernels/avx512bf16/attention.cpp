// Attention over a cache of bfloat16, whose pairs one instruction multiplies: how these registers are divided for
// kernels/shared/attention.h.
#include "kernels/shared/attention.h"

#include "kernels/avx512bf16/slots.h"
#include "kernels/avx512vnni/stream.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512bf16 {
namespace {

using avx512vnni::Vector;
using shared::EveryCell;
using shared::Whole;

inline __m512bh as_pairs(__m512 bits) { return (__m512bh)_mm512_castps_si512(bits); }

// products.h has what these are. VDPBF16PS adds the product of the upper halves, then that of the lower ones, each
// rounded once, denormals flushed.
struct PairProducts {
  using Vector = avx512vnni::Vector;
  using Cell = uint16_t;
  static constexpr int kCells = 2;
  static constexpr int kParts = 1;
  static constexpr int kElements = 1;

  // Two vectors of features are one stretch of elements.
  static void put_query(const float* source, int64_t head_dim, int64_t rows, float* q) {
    constexpr int64_t kStretch = 2 * kLanes;
    for (int64_t d = 0; d < head_dim; d += kStretch, q += kLanes * rows) {
      put(q, Vector::load(source + d, Vector::first(head_dim - d)));
      put(q + kLanes / 2, Vector::load(source + d + kLanes, Vector::first(head_dim - d - kLanes)));
    }
  }
  template <int Part, typename Lanes>
  static __m512bh cells(const uint16_t* place, Lanes lanes, EveryCell) {
    return as_pairs(Vector::load(reinterpret_cast<const float*>(place), lanes));
  }
  template <int Part, typename Lanes>
  static __m512bh cells(const uint16_t* place, Lanes lanes, __m512 keep) {
    return as_pairs(Vector::both(Vector::load(reinterpret_cast<const float*>(place), lanes), keep));
  }
  template <int Part>
  static __m512bh factor(const float* elements) {
    return as_pairs(Vector::all(*elements));
  }
  static __m512 multiply(__m512bh factor, __m512bh cells, __m512 sums) { return _mm512_dpbf16_ps(sums, factor, cells); }
  static __m512 weight(__m512 p) { return Vector::rounded_bf16(p); }
  static void put_weights(float* scores, int64_t key, __m512 p) { narrow(scores + key / 2, p); }

 private:
  static void put(float* elements, __m512 q) { narrow(elements, shared::rounded_query<Vector>(q)); }
  // Sixteen floats whose lower halves are zeros, as eight pairs.
  static void narrow(float* elements, __m512 rounded) {
    const __m512i upper = _mm512_srli_epi32(_mm512_castps_si512(rounded), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(elements), _mm512_cvtepi32_epi16(upper));
  }
};

// Sums in 24 of 32 registers.
struct Blocking {
  using Vector = avx512vnni::Vector;
  using Ahead = avx512vnni::Stream;
  static constexpr int kScoreRows = 12;
  static constexpr int kValueRows = 6;
  template <int Rows>
  static constexpr int kScoreVectors = kPageTokens / Vector::kWidth;
  template <int Rows>
  static constexpr int kValueVectors = 4;
};

}  // namespace

void attention(const AttentionArgs& args) {
  if (args.cache.type != KvType::bf16) return below.attention(args);
  shared::attend_flushed<Blocking, PairProducts>(args);
}

}  // namespace honed::avx512bf16
