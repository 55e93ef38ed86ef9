// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/amx/vector.h"

namespace honed::amx {

// Columns 0 to 15 and 16 to 31 of a panel.
struct PanelResult {
  __m512 low;
  __m512 high;
};

static inline void store_columns(float* y, int64_t count, Epilogue epilogue, __m512 value) {
  const __mmask16 valid = first_lanes(count);
  if (epilogue == Epilogue::add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, y), value);
  _mm512_mask_storeu_ps(y, valid, value);
}

static inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, PanelResult result) {
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    result.low = _mm512_add_ps(result.low, _mm512_loadu_ps(bias));
    result.high = _mm512_add_ps(result.high, _mm512_loadu_ps(bias + kVector));
  }
  const bool gated = args.epilogue == Epilogue::gated_silu || args.epilogue == Epilogue::gated_gelu_tanh;
  const int64_t first = panel * (gated ? kTileColumns : kPanelColumns);
  const int64_t left = args.columns - first;
  float* y = args.y + row * args.y_stride + first;
  if (gated) {
    const __m512 value = args.epilogue == Epilogue::gated_silu ? silu_gate(result.low, result.high)
                                                               : gelu_tanh_gate(result.low, result.high);
    _mm512_mask_storeu_ps(y, first_lanes(left), value);
    return;
  }
  store_columns(y, left, args.epilogue, result.low);
  if (left > kVector) store_columns(y + kVector, left - kVector, args.epilogue, result.high);
}

}  // namespace honed::amx
