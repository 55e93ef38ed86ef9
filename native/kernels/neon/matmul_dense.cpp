// Dense weights: how these registers are divided for kernels/shared/matmul_dense.h.
#include "kernels/shared/matmul_dense.h"

#include "kernels/neon/slots.h"
#include "kernels/neon/vector.h"

namespace honed::neon {
namespace {

// 16 of the 32 registers accumulate; three rows would leave none for weights to come.
template <typename Cell>
struct Columns : shared::ColumnsInOrder<Vector, Cell, 2> {
  template <int Rows>
  static constexpr int kVectors = kPanelColumns / kVector;
};

}  // namespace

void matmul_f32(const MatmulArgs& args) { shared::matmul_dense<Columns<float>>(args); }
void matmul_bf16(const MatmulArgs& args) { shared::matmul_dense<Columns<uint16_t>>(args); }

}  // namespace honed::neon
