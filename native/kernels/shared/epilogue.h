// What happens to the 32 results of one row and panel: bias, then the epilogue, then only valid columns.
#pragma once

#include "kernels/shared/math.h"

namespace honed::shared {
namespace {

template <typename V>
inline constexpr int kPanelVectors = kPanelColumns / V::kWidth;

template <FloatVector V>
inline void store_columns(float* y, int64_t count, Floats<V> value) {
  if (count >= V::kWidth) V::store(y, value);
  else if (count > 0) V::store(y, V::first(count), value);
}

template <FloatVector V>
inline void add_columns(float* y, int64_t count, Floats<V> value) {
  if (count >= V::kWidth) V::store(y, V::add(V::load(y), value));
  else if (count > 0) V::store(y, V::first(count), V::add(V::load(y, V::first(count)), value));
}

// `columns` holds those of the panel in order.
template <FloatVector V>
inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, Floats<V> (&columns)[kPanelVectors<V>]) {
  constexpr int kVectors = kPanelVectors<V>;
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int v = 0; v < kVectors; ++v) columns[v] = V::add(columns[v], V::load(bias + v * V::kWidth));
  }
  const bool gated = args.epilogue == Epilogue::gated_silu || args.epilogue == Epilogue::gated_gelu_tanh;
  const int64_t first = panel * (gated ? kTileColumns : kPanelColumns);
  const int64_t left = args.columns - first;
  float* y = args.y + row * args.y_stride + first;
  if (gated) {
    for (int v = 0; v < kVectors / 2; ++v) {
      const Floats<V> up = columns[v + kVectors / 2];
      const Floats<V> gate = args.epilogue == Epilogue::gated_silu ? silu<V>(columns[v]) : gelu_tanh<V>(columns[v]);
      store_columns<V>(y + v * V::kWidth, left - v * V::kWidth, V::mul(gate, up));
    }
    return;
  }
  const Floats<V> factor = V::all(args.factor);
  for (int v = 0; v < kVectors; ++v) {
    float* place = y + v * V::kWidth;
    if (args.epilogue == Epilogue::add) add_columns<V>(place, left - v * V::kWidth, V::mul(columns[v], factor));
    else store_columns<V>(place, left - v * V::kWidth, columns[v]);
  }
}

}  // namespace
}  // namespace honed::shared
