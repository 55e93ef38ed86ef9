// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/neon_i8mm/vector.h"

namespace honed::neon_i8mm {

// Columns 0 to 3, 4 to 7 and so on of a panel.
struct PanelResult {
  float32x4_t columns[kPanelVectors];
};

static inline PanelResult zero_result() {
  PanelResult result;
  for (float32x4_t& columns : result.columns) columns = vdupq_n_f32(0.0f);
  return result;
}

static inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, PanelResult& result) {
  float32x4_t* columns = result.columns;
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int v = 0; v < kPanelVectors; ++v) columns[v] = vaddq_f32(columns[v], vld1q_f32(bias + v * kVector));
  }
  const bool gated = args.epilogue == Epilogue::gated_silu || args.epilogue == Epilogue::gated_gelu_tanh;
  const int64_t first = panel * (gated ? kTileColumns : kPanelColumns);
  const int vectors = gated ? kPanelVectors / 2 : kPanelVectors;
  float* y = args.y + row * args.y_stride + first;
  for (int v = 0; v < vectors; ++v) {
    const int64_t left = args.columns - first - v * kVector;
    if (left <= 0) return;
    float32x4_t value = columns[v];
    if (args.epilogue == Epilogue::add) value = vaddq_f32(load_first(y + v * kVector, left), value);
    if (args.epilogue == Epilogue::gated_silu) value = silu_gate(value, columns[v + kPanelVectors / 2]);
    if (args.epilogue == Epilogue::gated_gelu_tanh) value = gelu_tanh_gate(value, columns[v + kPanelVectors / 2]);
    store_first(y + v * kVector, left, value);
  }
}

}  // namespace honed::neon_i8mm
