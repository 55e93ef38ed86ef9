#include "executor/lookahead.h"

#include <algorithm>

#include "cpu/kernel_table.h"
#include "executor/needs.h"
#include "executor/panel_chunks.h"
#include "executor/threads.h"

namespace honed {
namespace {

// As much as the second cache keeps beside what is being read.
constexpr int64_t kBytesOfStretch = 256 << 10;

Stretch first_read(const Weight& matrix, const Threads& threads, int64_t thread) {
  const int64_t panels = matrix.rows / kPanelColumns;
  const int64_t chunks = chunks_of_stream(panels, threads.count());
  const int64_t first = panel_of_chunk(threads.part_begin(thread, chunks), chunks, panels);
  const int64_t end = panel_of_chunk(threads.part_begin(thread + 1, chunks), chunks, panels);
  return {matrix.panels + first * matrix.panel_bytes, std::min(kBytesOfStretch, (end - first) * matrix.panel_bytes)};
}

}  // namespace

std::vector<Stretch> stretches_after_ops(const Needs& needs, const Threads& threads) {
  const std::vector<const Weight*>& streams = needs.streams();
  const auto count = static_cast<std::size_t>(threads.count());
  std::vector<Stretch> all(streams.size() * count, Stretch{nullptr, 0});
  if (count == 1) return all;
  const Weight* next = nullptr;
  // Twice from the end: the last ops are followed by the first matrix of the next step.
  for (std::size_t i = 2 * streams.size(); i-- > 0;) {
    const std::size_t op = i % streams.size();
    if (next != nullptr) {
      for (std::size_t thread = 0; thread < count; ++thread) {
        all[op * count + thread] = first_read(*next, threads, static_cast<int64_t>(thread));
      }
    }
    if (streams[op] != nullptr) next = streams[op];
  }
  return all;
}

}  // namespace honed
