// Matrices that were packed before: their panels are borrowed from where they lie, a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "plan/weight.h"

namespace honed {

// Panels start at a cache line, as those that the builders make.
inline constexpr int64_t kPanelAlignment = 64;

// Bytes of panels and number of column scales, which must be exactly those of `layout`, made by one of the layout
// functions of the builders. Scales are copied. Throws std::invalid_argument for other sizes or unaligned panels. What
// the panels hold is not looked at: no value of them makes a kernel read or write out of bounds.
std::shared_ptr<const Weight> borrow_panels(Weight&& layout, const std::byte* panels, int64_t bytes,
                                            const float* column_scales, int64_t scale_count,
                                            std::shared_ptr<void> keep_alive);

}  // namespace honed
