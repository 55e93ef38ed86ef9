// Dense weights: how these registers are divided for kernels/shared/matmul_dense.h.
#include "kernels/shared/matmul_dense.h"

#include "kernels/avx512vnni/slots.h"
#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {
namespace {

// 16 sums: a load of weights serves eight rows.
template <typename Cell>
struct Columns : shared::ColumnsInOrder<Vector, Cell, 8> {
  template <int Rows>
  static constexpr int kVectors = kPanelColumns / kVector;
};

}  // namespace

void matmul_f32(const MatmulArgs& args) { shared::matmul_dense<Columns<float>>(args); }
void matmul_bf16(const MatmulArgs& args) { shared::matmul_dense<Columns<uint16_t>>(args); }

}  // namespace honed::avx512vnni
