// What attention reads next, asked for while it computes: what lies two pages on, as many cells of it as are read of
// this page. For processors whose second cache takes requests at any pace; avx512vnni/stream.h is for others.
#pragma once

#include "kernels/paging/tile.h"

namespace honed::shared {
namespace {

class PageAhead {
 public:
  explicit PageAhead(const paging::Tile&) {}

  // While the keys of a page are read, and while its values are. ask<Count>(from): `Count` cells from cell `from` on
  // are being read.
  template <typename Cell>
  struct Beside {
    const Cell* next;

    template <int Count>
    [[gnu::always_inline]] void ask(int64_t from) const {
      paging::prefetch(next, from, Count);
    }
  };
  template <typename Products>
  Beside<typename Products::Cell> beside_keys(const paging::Tile& tile, int64_t page) const {
    return {tile.after_keys<typename Products::Cell>(page)};
  }
  template <typename Products>
  Beside<typename Products::Cell> beside_values(const paging::Tile& tile, int64_t page) const {
    return {tile.after_values<typename Products::Cell>(page)};
  }
  // While scores become weights.
  template <typename Products>
  void beside_weights() const {}
};

}  // namespace
}  // namespace honed::shared
