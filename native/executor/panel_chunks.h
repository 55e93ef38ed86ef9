// How the panels of a matrix are shared out where few rows go over them: each thread has a run of neighbouring chunks,
// and with it one ascending stream of memory.
#pragma once

#include <algorithm>
#include <cstdint>

namespace honed {

inline constexpr int64_t kChunksOfThread = 8;

inline int64_t chunks_of_stream(int64_t panels, int64_t threads) {
  return std::min(panels, threads * kChunksOfThread);
}

inline int64_t panel_of_chunk(int64_t chunk, int64_t chunks, int64_t panels) { return chunk * panels / chunks; }

}  // namespace honed
