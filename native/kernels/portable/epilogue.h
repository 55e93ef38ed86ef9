// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/portable/scalar.h"

namespace honed::portable {

static inline void store_gated(const MatmulArgs& args, int64_t row, int64_t panel, const float* result) {
  float* y = args.y + row * args.y_stride;
  for (int c = 0; c < kTileColumns; ++c) {
    const int64_t column = panel * kTileColumns + c;
    if (column >= args.columns) return;
    const float gate = result[c];
    const float up = result[kTileColumns + c];
    y[column] = (args.epilogue == Epilogue::gated_silu ? silu(gate) : gelu_tanh(gate)) * up;
  }
}

// Destroys `result`.
static inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, float* result) {
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] + bias[c];
  }
  if (args.epilogue == Epilogue::gated_silu || args.epilogue == Epilogue::gated_gelu_tanh) {
    store_gated(args, row, panel, result);
    return;
  }
  float* y = args.y + row * args.y_stride;
  for (int c = 0; c < kPanelColumns; ++c) {
    const int64_t column = panel * kPanelColumns + c;
    if (column >= args.columns) return;
    y[column] = args.epilogue == Epilogue::add ? y[column] + result[c] * args.factor : result[c];
  }
}

}  // namespace honed::portable
