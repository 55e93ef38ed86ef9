// What happens to the 32 results of one row and panel, as the matmuls of this folder and of amx have them.
#pragma once

#include "kernels/avx512vnni/vector.h"
#include "kernels/shared/epilogue.h"

namespace honed::avx512vnni {
namespace {

// Columns 0 to 15 and 16 to 31 of a panel.
struct PanelResult {
  __m512 low;
  __m512 high;
};

inline void finish_panel(const MatmulArgs& args, int64_t row, int64_t panel, PanelResult result) {
  __m512 columns[] = {result.low, result.high};
  shared::finish_panel<Vector>(args, row, panel, columns);
}

}  // namespace
}  // namespace honed::avx512vnni
