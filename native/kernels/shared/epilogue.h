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

// The first half of the columns are gates, the second their ups.
template <Gate Kind, FloatVector V>
inline void store_gated(float* y, int64_t left, const Floats<V> (&columns)[kPanelVectors<V>]) {
  constexpr int kHalf = kPanelVectors<V> / 2;
  for (int v = 0; v < kHalf; ++v) {
    store_columns<V>(y + v * V::kWidth, left - v * V::kWidth, gate<V, Kind>(columns[v], columns[v + kHalf]));
  }
}

// Apart from what stands in every matmul: gates are long, and called once for a row and panel.
template <FloatVector V>
[[gnu::noinline]] void finish_gated(Epilogue epilogue, float* y, int64_t left,
                                    const Floats<V> (&columns)[kPanelVectors<V>]) {
  switch (epilogue) {
    case Epilogue::gated_silu: return store_gated<Gate::silu, V>(y, left, columns);
    case Epilogue::gated_gelu_tanh: return store_gated<Gate::gelu_tanh, V>(y, left, columns);
    case Epilogue::gated_gelu: return store_gated<Gate::gelu, V>(y, left, columns);
    case Epilogue::gated_clamped_silu: return store_gated<Gate::clamped_silu, V>(y, left, columns);
    case Epilogue::store:
    case Epilogue::add: break;
  }
}

// `columns` holds those of the panel in order.
template <FloatVector V>
[[gnu::always_inline]] inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel,
                                                Floats<V> (&columns)[kPanelVectors<V>]) {
  constexpr int kVectors = kPanelVectors<V>;
  if (args.bias != nullptr) {
    const float* bias = args.bias + panel * kPanelColumns;
    for (int v = 0; v < kVectors; ++v) columns[v] = V::add(columns[v], V::load(bias + v * V::kWidth));
  }
  const bool gated = args.epilogue != Epilogue::store && args.epilogue != Epilogue::add;
  const int64_t first = panel * (gated ? kTileColumns : kPanelColumns);
  const int64_t left = args.columns - first;
  float* y = args.y + row * args.y_stride + first;
  if (gated) {
    Floats<V> kept[kVectors];  // the address of `columns` would keep them out of registers
    for (int v = 0; v < kVectors; ++v) kept[v] = columns[v];
    finish_gated<V>(args.epilogue, y, left, kept);
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
