// Attention over each kind of KV cache: how these registers are divided for kernels/shared/attention.h.
#include "kernels/shared/attention.h"

#include "kernels/neon/attention_int8.h"
#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

// Sums in 24 of 32 registers: up to three rows by eight vectors, more rows by four.
struct Blocking {
  using Vector = neon::Vector;
  using Ahead = shared::PageAhead;
  static constexpr int kScoreRows = 6;
  static constexpr int kValueRows = 6;
  template <int Rows>
  static constexpr int kScoreVectors = Rows <= 3 ? 8 : 4;
  template <int Rows>
  static constexpr int kValueVectors = Rows <= 3 ? 8 : 4;
};

}  // namespace

void attention(const AttentionArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return shared::attend<Blocking, shared::SingleProducts<Vector>>(args);
    case KvType::bf16: return shared::attend_flushed<Blocking, shared::PairProducts<Vector>>(args);
    case KvType::int8: return attend_int8(args);
  }
}

}  // namespace honed::neon
