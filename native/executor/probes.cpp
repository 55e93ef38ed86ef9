#include "executor/probes.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "cpu/select.h"
#include "executor/threads.h"
#include "plan/weight.h"

namespace honed {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_seconds(double seconds) {
  if (!(seconds > 0 && seconds <= 60)) {
    throw std::invalid_argument("seconds = " + std::to_string(seconds) + ": must be over 0 and at most 60");
  }
}

}  // namespace

double measure_read_bandwidth(int threads, int64_t mebibytes, double seconds, const std::string& isa) {
  constexpr int64_t kMostMebibytes = 64 << 10;
  check_seconds(seconds);
  if (mebibytes < 1 || mebibytes > kMostMebibytes) {
    throw std::invalid_argument("mebibytes = " + std::to_string(mebibytes) + ": must be from 1 to " +
                                std::to_string(kMostMebibytes));
  }
  const KernelTable kernels = select_kernels(isa);
  Threads pool(threads);
  constexpr int64_t kPiece = 256 << 10;  // bytes; short enough that the threads end together
  const int64_t bytes = mebibytes << 20;
  const int64_t pieces = bytes / kPiece;
  const AlignedBuffer buffer(static_cast<std::size_t>(bytes));
  // Written first: pages never touched are all the same page of zeros, and would be read from the cache.
  pool.for_each(pieces, [&](int64_t piece, int) noexcept {
    std::memset(buffer.data() + piece * kPiece, static_cast<int>(piece & 0x7f) + 1, kPiece);
  });
  std::atomic<uint64_t> sink{0};
  double best = 0;
  const auto start = Clock::now();
  do {
    const auto pass = Clock::now();
    pool.for_each(pieces, [&](int64_t piece, int) noexcept {
      sink.fetch_xor(kernels.read_memory(buffer.data() + piece * kPiece, kPiece), std::memory_order_relaxed);
    });
    best = std::max(best, static_cast<double>(bytes) / seconds_since(pass));
  } while (seconds_since(start) < seconds);
  return best;
}

double measure_integer_peak(int threads, double seconds, const std::string& isa) {
  check_seconds(seconds);
  const KernelTable kernels = select_kernels(isa);
  Threads pool(threads);
  const double pass_seconds = std::min(seconds / 4, 0.02);
  int64_t iterations = 1000;
  for (;;) {
    const auto start = Clock::now();
    if (kernels.integer_peak(iterations) <= 0) throw std::logic_error("integer_peak counted nothing");
    if (seconds_since(start) >= pass_seconds || iterations > (int64_t{1} << 40)) break;
    iterations *= 2;
  }
  double best = 0;
  const auto start = Clock::now();
  do {
    std::atomic<int64_t> multiply_adds{0};
    const auto pass = Clock::now();
    // One long task for each thread: none is free to take a second one before all are taken.
    pool.for_each(threads, [&](int64_t, int) noexcept { multiply_adds += kernels.integer_peak(iterations); });
    best = std::max(best, 2.0 * static_cast<double>(multiply_adds.load()) / seconds_since(pass));
  } while (seconds_since(start) < seconds);
  return best;
}

}  // namespace honed
