// The machine's limit as tiles reach it.
#include "kernels/amx/slots.h"
#include "kernels/amx/tiles.h"

namespace honed::amx {

int64_t integer_peak(int64_t iterations) {
  constexpr int64_t kDepth = kTileDepth;
  alignas(64) int8_t operand[kTileRows * kDepth];
  for (int64_t i = 0; i < kTileRows * kDepth; ++i) operand[i] = static_cast<int8_t>(97 - 3 * i);
  finish_stores();
  const Tiles tiles(kTileRows, kDepth);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, operand, kDepth);
  _tile_loadd(5, operand, kDepth);
  _tile_loadd(6, operand, kDepth);
  _tile_loadd(7, operand, kDepth);
  for (int64_t n = 0; n < iterations; ++n) {
    // Four sums: a product takes sixteen cycles of the unit and some fifty until its sum can be added to.
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  return iterations * 4 * kTileRows * kTileColumns * kDepth;
}

}  // namespace honed::amx
