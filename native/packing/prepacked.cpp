#include "packing/prepacked.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "packing/weight_shell.h"

namespace honed {
namespace {

void require(int64_t found, int64_t expected, const char* field) {
  if (found != expected) {
    throw std::invalid_argument(std::string("prepacked: ") + field + " = " + std::to_string(found) + ": must be " +
                                std::to_string(expected));
  }
}

}  // namespace

std::shared_ptr<const Weight> borrow_panels(Weight&& layout, const std::byte* panels, int64_t bytes,
                                            const float* column_scales, int64_t scale_count,
                                            std::shared_ptr<void> keep_alive) {
  require(bytes, panels_bytes(layout), "bytes of panels");
  require(scale_count, static_cast<int64_t>(layout.column_scales.size()), "column scales");
  require(static_cast<int64_t>(reinterpret_cast<std::uintptr_t>(panels) % kPanelAlignment), 0,
          "address of panels modulo 64");
  auto weight = std::make_shared<Weight>(std::move(layout));
  std::copy(column_scales, column_scales + scale_count, weight->column_scales.begin());
  weight->panels = panels;
  weight->keep_alive = std::move(keep_alive);
  return weight;
}

}  // namespace honed
