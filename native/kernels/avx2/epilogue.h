// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/avx2/vector.h"

namespace honed::avx2 {

inline constexpr int kPanelVectors = kPanelColumns / kVector;

static inline void store_columns(float* y, int64_t count, __m256 value) {
  if (count >= kVector) {
    _mm256_storeu_ps(y, value);
  } else if (count > 0) {
    store_first(y, count, value);
  }
}

static inline void add_columns(float* y, int64_t count, __m256 value) {
  if (count >= kVector) {
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), value));
  } else if (count > 0) {
    store_first(y, count, _mm256_add_ps(load_first(y, count), value));
  }
}

// `result` holds columns 0 to 7, 8 to 15, 16 to 23, 24 to 31 of the panel.
static inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, __m256 (&result)[kPanelVectors]) {
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int v = 0; v < kPanelVectors; ++v) {
      result[v] = _mm256_add_ps(result[v], _mm256_loadu_ps(bias + v * kVector));
    }
  }
  const bool gated = args.epilogue == Epilogue::gated_silu || args.epilogue == Epilogue::gated_gelu_tanh;
  const int64_t first = panel * (gated ? kTileColumns : kPanelColumns);
  const int64_t left = args.columns - first;
  float* y = args.y + row * args.y_stride + first;
  if (gated) {
    for (int v = 0; v < 2; ++v) {
      const __m256 value = args.epilogue == Epilogue::gated_silu ? silu_gate(result[v], result[v + 2])
                                                                 : gelu_tanh_gate(result[v], result[v + 2]);
      store_columns(y + v * kVector, left - v * kVector, value);
    }
    return;
  }
  for (int v = 0; v < kPanelVectors; ++v) {
    if (args.epilogue == Epilogue::add) {
      add_columns(y + v * kVector, left - v * kVector, result[v]);
    } else {
      store_columns(y + v * kVector, left - v * kVector, result[v]);
    }
  }
}

}  // namespace honed::avx2
