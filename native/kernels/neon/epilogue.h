// What happens to the 32 results of one row and panel, as the matmuls of this folder and of neon_i8mm have them.
#pragma once

#include "kernels/neon/vector.h"
#include "kernels/shared/epilogue.h"

namespace honed::neon {
namespace {

// Columns 0 to 3, 4 to 7 and so on of a panel.
struct PanelResult {
  float32x4_t columns[kPanelVectors];
};

inline PanelResult zero_result() {
  PanelResult result;
  for (float32x4_t& columns : result.columns) columns = vdupq_n_f32(0.0f);
  return result;
}

inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, PanelResult& result) {
  shared::finish_panel<Vector>(args, row, panel, result.columns);
}

}  // namespace
}  // namespace honed::neon
