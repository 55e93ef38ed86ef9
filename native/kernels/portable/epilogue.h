// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/portable/scalar.h"

namespace honed::portable {

static inline void store_gated(const MatmulArgs& args, Gate kind, int64_t row, int64_t panel, const float* result) {
  float* y = args.y + row * args.y_stride;
  for (int c = 0; c < kTileColumns; ++c) {
    const int64_t column = panel * kTileColumns + c;
    if (column >= args.columns) return;
    y[column] = gated(kind, result[c], result[kTileColumns + c]);
  }
}

// Destroys `result`.
static inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, float* result) {
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int c = 0; c < kPanelColumns; ++c) result[c] = result[c] + bias[c];
  }
  switch (args.epilogue) {
    case Epilogue::gated_silu: return store_gated(args, Gate::silu, row, panel, result);
    case Epilogue::gated_gelu_tanh: return store_gated(args, Gate::gelu_tanh, row, panel, result);
    case Epilogue::gated_gelu: return store_gated(args, Gate::gelu, row, panel, result);
    case Epilogue::gated_clamped_silu: return store_gated(args, Gate::clamped_silu, row, panel, result);
    case Epilogue::store:
    case Epilogue::add: break;
  }
  float* y = args.y + row * args.y_stride;
  for (int c = 0; c < kPanelColumns; ++c) {
    const int64_t column = panel * kPanelColumns + c;
    if (column >= args.columns) return;
    y[column] = args.epilogue == Epilogue::add ? y[column] + result[c] * args.factor : result[c];
  }
}

}  // namespace honed::portable
