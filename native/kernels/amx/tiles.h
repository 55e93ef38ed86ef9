// Tiles: how they are configured, which rows they hold, and the product of one or two tiles of rows with one panel.
//
//   registers 0 to 3: int32 sums, [tile of rows][half of the panel]
//   registers 4, 5:   activations of the two tiles of rows
//   registers 6, 7:   weights of the two halves of the panel
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::amx {

using avx512vnni::f16_to_f32;
using avx512vnni::kVector;

inline constexpr int64_t kTileRows = 16;
inline constexpr int64_t kRowBytes = kTileColumns * 4;       // of a tile of weights or sums
inline constexpr int64_t kQuadBytes = kPanelColumns * 4;     // of a panel: one row of either half

// Activations are `rows` by `depth` bytes, weights depth / 4 quads by 16 columns, sums `rows` by 16 integers.
//
// Configured anew in every call and released at its end: others in the same thread (a library of linear algebra, say)
// have configurations of their own, and a thread that leaves tiles in use has 8 KiB more saved at each switch. Both
// instructions together take a fraction of a microsecond, a call takes several.
class Tiles {
 public:
  Tiles(int64_t rows, int64_t depth) {
    Configuration configuration{};
    configuration.palette = 1;
    for (int i = 0; i < 8; ++i) {
      const bool weights = i >= 6;
      const bool activations = i == 4 || i == 5;
      configuration.rows[i] = static_cast<uint8_t>(weights ? depth / 4 : rows);
      configuration.row_bytes[i] = static_cast<uint16_t>(activations ? depth : kRowBytes);
    }
    // GCC's intrinsic (at least up to 12) tells the compiler that 8 of the 64 bytes are read, so that stores to the
    // others may be dropped. As an operand here all of them are.
    asm volatile("" : : "m"(configuration));
    _tile_loadconfig(&configuration);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { _tile_release(); }

 private:
  // The operand of LDTILECFG.
  struct alignas(64) Configuration {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  };
  static_assert(sizeof(Configuration) == 64);
};

// Makes what was stored before visible to tile loads, of whose operand in memory GCC's intrinsics say nothing.
static inline void finish_stores() { asm volatile("" : : : "memory"); }

// Rows [begin, end) in tiles of one height, as even as possible, so that one configuration serves a whole call. Where
// they do not divide, the last tile starts in the rows of the one before it and leaves those alone at the end.
struct RowTiles {
  int64_t begin;
  int64_t end;
  int64_t count;   // tiles
  int64_t height;  // rows of each

  static RowTiles over(int64_t begin, int64_t end) {
    const int64_t rows = end - begin;
    const int64_t count = (rows + kTileRows - 1) / kTileRows;
    return {begin, end, count, (rows + count - 1) / count};
  }
  // The row that tile i starts with.
  int64_t first(int64_t i) const {
    const int64_t even = begin + i * height;
    return even + height > end ? end - height : even;
  }
  // How many rows of tile i are those of the tile before it.
  int64_t shared(int64_t i) const { return begin + i * height - first(i); }
};

// Weights of one panel over consecutive k, [quads][32 columns][4 k], in steps of the configured depth.
struct Weights {
  const void* codes;
  int64_t steps;
};

// What a product leaves behind: [tile of rows][half of the panel][row][column].
struct alignas(64) Dots {
  int32_t cells[2][2][kTileRows][kTileColumns];

  __m512i row(int tile, int half, int64_t r) const { return _mm512_load_si512(cells[tile][half][r]); }
};

// Activations of one or two tiles, `x` pointing at the first k of the first row of each.
template <int Count>
struct Activations {
  const int8_t* x[Count];
  int64_t row_bytes;
};

template <int Count>
static inline Activations<Count> activations(const MatmulArgs& args, const RowTiles& tiles, int64_t tile, int64_t k) {
  Activations<Count> result;
  result.row_bytes = args.x_row_bytes;
  for (int i = 0; i < Count; ++i) {
    result.x[i] = static_cast<const int8_t*>(args.x) + tiles.first(tile + i) * args.x_row_bytes + k;
  }
  return result;
}

// Asks for the weights of the panel behind this one. Few rows wait for memory, and a processor does not foresee loads of
// tiles as it does those of vectors: 6 to 16 rows are up to two thirds faster with it.
static inline void prefetch(const char* codes, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t offset = 0; offset < bytes; offset += kLine) _mm_prefetch(codes + offset, _MM_HINT_T0);
}

// dots = activations * weights. ahead: how far behind its own the weights lie that will be needed next, 0 to ask for none.
template <int Count>
static inline void multiply(const Activations<Count>& activations, int64_t depth, const Weights& weights, int64_t ahead,
                            Dots& dots) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Count == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  const char* codes = static_cast<const char*>(weights.codes);
  for (int64_t step = 0; step < weights.steps; ++step, codes += depth * kPanelColumns) {
    if (ahead != 0) prefetch(codes + ahead, depth * kPanelColumns);
    _tile_loadd(4, activations.x[0] + step * depth, activations.row_bytes);
    _tile_loadd(6, codes, kQuadBytes);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, codes + kRowBytes, kQuadBytes);
    _tile_dpbssd(1, 4, 7);
    if constexpr (Count == 2) {
      _tile_loadd(5, activations.x[1] + step * depth, activations.row_bytes);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
  _tile_stored(0, dots.cells[0][0], kRowBytes);
  _tile_stored(1, dots.cells[0][1], kRowBytes);
  if constexpr (Count == 2) {
    _tile_stored(2, dots.cells[1][0], kRowBytes);
    _tile_stored(3, dots.cells[1][1], kRowBytes);
  }
}

}  // namespace honed::amx
