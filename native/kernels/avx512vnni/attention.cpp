// Attention over each kind of KV cache: how these registers are divided for kernels/shared/attention.h.
#include "kernels/shared/attention.h"

#include "kernels/avx512vnni/attention_int8.h"
#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/stream.h"

namespace honed::avx512vnni {
namespace {

// Sums in 24 of 32 registers.
struct Blocking {
  using Vector = avx512vnni::Vector;
  using Ahead = Stream;
  static constexpr int kScoreRows = 12;
  static constexpr int kValueRows = 6;
  template <int Rows>
  static constexpr int kScoreVectors = kPageTokens / kVector;
  template <int Rows>
  static constexpr int kValueVectors = 4;
};

}  // namespace

void attention(const AttentionArgs& args) {
  switch (args.cache.type) {
    case KvType::f32: return shared::attend<Blocking, shared::SingleProducts<Vector>>(args);
    case KvType::bf16: return shared::attend_flushed<Blocking, shared::PairProducts<Vector>>(args);
    case KvType::int8: return attend_int8(args);
  }
}

}  // namespace honed::avx512vnni
