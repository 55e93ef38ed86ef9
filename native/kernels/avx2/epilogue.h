// What happens to the 32 results of one row and panel, as the matmuls of this folder have them.
#pragma once

#include "kernels/avx2/vector.h"
#include "kernels/shared/epilogue.h"

namespace honed::avx2 {
namespace {

inline constexpr int kPanelVectors = kPanelColumns / kVector;

// `result` holds columns 0 to 7, 8 to 15, 16 to 23, 24 to 31 of the panel.
inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, __m256 (&result)[kPanelVectors]) {
  shared::finish_panel<Vector>(args, row, panel, result);
}

}  // namespace
}  // namespace honed::avx2
