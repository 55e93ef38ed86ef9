// What the builders share: the record of a packed matrix before its panels are written.
#pragma once

#include <memory>
#include <stdexcept>
#include <utility>

#include "packing/checked.h"
#include "packing/placement.h"
#include "plan/weight.h"

namespace honed {

// A packed matrix without its panels. `columns` is made before the other two are computed: its check of n and k is what
// keeps them small.
inline Weight weight_layout(WeightKind kind, const Columns& columns, int64_t k_padded, int64_t panel_bytes) {
  Weight weight{};
  weight.kind = kind;
  weight.rows = columns.panels() * kPanelColumns;
  weight.columns = columns.k();
  weight.k_padded = k_padded;
  weight.panel_bytes = panel_bytes;
  return weight;
}

inline int64_t panels_bytes(const Weight& weight) {
  return product("bytes of panels", weight.rows / kPanelColumns, weight.panel_bytes);
}

// With panels to be written. They are zero, so columns never placed and the padding of k need no writing.
inline std::shared_ptr<Weight> with_panels(Weight&& layout) {
  auto weight = std::make_shared<Weight>(std::move(layout));
  weight->buffer = AlignedBuffer(static_cast<std::size_t>(panels_bytes(*weight)));
  weight->panels = weight->buffer.data();
  return weight;
}

// The weight of a builder, until it is finished.
inline Weight& unfinished(const std::shared_ptr<Weight>& weight) {
  if (weight == nullptr) throw std::invalid_argument("builder: finish() was already called");
  return *weight;
}

}  // namespace honed
