// Quantized activation rows, and the dot products of a panel with them, as the integer matmuls of this folder take them.
#pragma once

#include "kernels/avx512vnni/vector.h"
#include "kernels/shared/quantized_rows.h"

namespace honed::avx512vnni {
namespace {

using shared::RowBlock;
using shared::rows_from;

template <int Rows>
struct Dots {
  __m512i low[Rows];
  __m512i high[Rows];
};

}  // namespace
}  // namespace honed::avx512vnni
