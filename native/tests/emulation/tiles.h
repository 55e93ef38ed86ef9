// The tiles of AMX, computed byte by byte after the pseudocode and the lists of exceptions in Intel's Software
// Developer's Manual, under the names of the intrinsics. What would raise #GP or #UD there is reported and raises
// SIGILL here.
#pragma once

#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace emulated {

// Table "Memory Area Layout of the 64 bytes of LDTILECFG".
struct TileConfiguration {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

struct Tile {
  uint8_t cells[16][64];
};

// All zeros is the INIT state: palette 0, no tile usable.
struct TileState {
  TileConfiguration configuration;
  Tile tiles[8];
};

// One for the thread, whatever unit an inline function of a kernel comes from.
inline thread_local TileState tile_state{};

static inline void fault(const char* what) {
  std::printf("\n%s", what);
  std::fflush(stdout);
  raise(SIGILL);
}

static inline bool is_acceptable(const TileConfiguration& c) {
  if (c.palette > 1 || c.start_row >= 16) return false;
  for (const uint8_t byte : c.reserved) {
    if (byte != 0) return false;
  }
  for (int i = 0; i < 16; ++i) {
    if (i >= 8 && (c.rows[i] != 0 || c.row_bytes[i] != 0)) return false;
    if (c.rows[i] > 16 || c.row_bytes[i] > 64 || (c.rows[i] == 0) != (c.row_bytes[i] == 0)) return false;
  }
  return true;
}

static inline int rows_of(int tile) { return tile_state.configuration.rows[tile]; }
static inline int bytes_of(int tile) { return tile_state.configuration.row_bytes[tile]; }

static inline void require_configured(int tile) {
  if (tile_state.configuration.palette != 1 || rows_of(tile) == 0) fault("#UD: a tile that is not configured");
}

// DPBD: four products of signed bytes of `a` and `b` added to `sum`, without saturation.
static inline int32_t dot_of_bytes(int32_t sum, const uint8_t* a, const uint8_t* b) {
  int64_t wide = sum;
  for (int i = 0; i < 4; ++i) wide += int32_t{static_cast<int8_t>(a[i])} * static_cast<int8_t>(b[i]);
  return static_cast<int32_t>(static_cast<uint32_t>(wide));
}

}  // namespace emulated

static inline void _tile_loadconfig(const void* configuration) {
  emulated::TileConfiguration wanted;
  std::memcpy(&wanted, configuration, sizeof wanted);
  if (!emulated::is_acceptable(wanted)) return emulated::fault("#GP: LDTILECFG of an operand that is no configuration");
  emulated::tile_state = {};
  if (wanted.palette != 0) emulated::tile_state.configuration = wanted;
}

static inline void _tile_release() { emulated::tile_state = {}; }

static inline void _tile_zero(int tile) {
  emulated::require_configured(tile);
  emulated::tile_state.tiles[tile] = {};
}

static inline void _tile_loadd(int tile, const void* base, long stride) {
  emulated::require_configured(tile);
  emulated::Tile loaded{};
  for (int row = 0; row < emulated::rows_of(tile); ++row) {
    std::memcpy(loaded.cells[row], static_cast<const char*>(base) + row * stride,
                static_cast<std::size_t>(emulated::bytes_of(tile)));
  }
  emulated::tile_state.tiles[tile] = loaded;
}

static inline void _tile_stored(int tile, void* base, long stride) {
  emulated::require_configured(tile);
  for (int row = 0; row < emulated::rows_of(tile); ++row) {
    std::memcpy(static_cast<char*>(base) + row * stride, emulated::tile_state.tiles[tile].cells[row],
                static_cast<std::size_t>(emulated::bytes_of(tile)));
  }
}

// TDPBSSD: sums of 4-byte elements, signed bytes of `a` times signed bytes of `b`.
static inline void _tile_dpbssd(int sums, int a, int b) {
  using namespace emulated;
  require_configured(sums);
  require_configured(a);
  require_configured(b);
  if (sums == a || sums == b || a == b) fault("#UD: TDPBSSD of one tile twice");
  if (bytes_of(sums) % 4 != 0 || bytes_of(a) % 4 != 0 || bytes_of(b) % 4 != 0) fault("#UD: TDPBSSD of half a cell");
  if (rows_of(sums) != rows_of(a) || bytes_of(a) / 4 != rows_of(b) || bytes_of(sums) != bytes_of(b)) {
    fault("#UD: TDPBSSD of tiles that do not fit");
  }
  Tile result{};
  for (int m = 0; m < rows_of(sums); ++m) {
    for (int n = 0; n < bytes_of(sums) / 4; ++n) {
      int32_t sum;
      std::memcpy(&sum, tile_state.tiles[sums].cells[m] + 4 * n, 4);
      for (int k = 0; k < bytes_of(a) / 4; ++k) {
        sum = dot_of_bytes(sum, tile_state.tiles[a].cells[m] + 4 * k, tile_state.tiles[b].cells[k] + 4 * n);
      }
      std::memcpy(result.cells[m] + 4 * n, &sum, 4);
    }
  }
  tile_state.tiles[sums] = result;
}
