// Attention over each kind of KV cache: how these registers are divided for kernels/shared/attention.h.
#include "kernels/shared/attention.h"

#include "kernels/avx2/attention_int8.h"
#include "kernels/avx2/slots.h"
#include "kernels/avx2/vector.h"

namespace honed::avx2 {
namespace {

// Sums in 12 of 16 registers: up to three rows by four vectors, more rows by two.
struct Blocking {
  using Vector = avx2::Vector;
  using Ahead = shared::PageAhead;
  static constexpr int kScoreRows = 6;
  static constexpr int kValueRows = 6;
  template <int Rows>
  static constexpr int kScoreVectors = Rows <= 3 ? 4 : 2;
  template <int Rows>
  static constexpr int kValueVectors = Rows <= 3 ? 4 : 2;
};

}  // namespace

void attention(const AttentionArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return shared::attend<Blocking, shared::SingleProducts<Vector>>(args);
    case KvType::bf16: return shared::attend_flushed<Blocking, shared::PairProducts<Vector>>(args);
    case KvType::int8: return attend_int8(args);
  }
}

}  // namespace honed::avx2
