// Waiting is a short spin, since the next op of a decode step follows within microseconds, and then sleep in the
// kernel, so that an idle or crowded machine is not kept busy.
#include "executor/threads.h"

#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "cpu/topology.h"

namespace honed {
namespace {

constexpr int kMostThreads = 1024;
constexpr int64_t kSpinNanoseconds = 50'000;

int checked(int count) {
  if (count < 1 || count > kMostThreads) {
    throw std::invalid_argument("threads = " + std::to_string(count) + ": must be from 1 to " +
                                std::to_string(kMostThreads));
  }
  return count;
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns once `value` is no longer `old`.
void wait_while(const std::atomic<int>& value, int old, int64_t spin_nanoseconds) {
  if (value.load(std::memory_order_acquire) != old) return;
  if (spin_nanoseconds > 0) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(spin_nanoseconds);
    do {
      for (int i = 0; i < 32; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        pause();
      }
    } while (std::chrono::steady_clock::now() < end);
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Threads::Threads(int count)
    : count_(checked(count)),
      // With more threads than processors a spinning one keeps a working one from its processor.
      spin_nanoseconds_(count <= default_threads() ? kSpinNanoseconds : 0),
      process_(getpid()),
      workers_(std::make_unique<std::vector<std::thread>>()) {
  workers_->reserve(static_cast<std::size_t>(count_ - 1));
  try {
    for (int thread = 1; thread < count_; ++thread) {
      workers_->emplace_back([this, thread] { work(thread); });
    }
  } catch (...) {
    stopping_.store(true, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (auto& worker : *workers_) worker.join();
    throw;
  }
}

Threads::~Threads() {
  if (getpid() != process_) {
    // A forked child has the objects of the workers but not the workers: joining them would wait for ever.
    static_cast<void>(workers_.release());
    return;
  }
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& worker : *workers_) worker.join();
}

void Threads::start(Call call, const void* context) {
  if (count_ == 1) {
    call(context, 0);
    return;
  }
  if (getpid() != process_) {
    throw std::logic_error("the threads of this executor belong to the process that made it; make one after fork");
  }
  call_ = call;
  context_ = context;
  running_.store(count_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  call(context, 0);
  for (int left = running_.load(std::memory_order_acquire); left != 0;
       left = running_.load(std::memory_order_acquire)) {
    wait_while(running_, left, spin_nanoseconds_);
  }
}

void Threads::work(int thread) {
  for (int seen = 0;;) {
    wait_while(generation_, seen, spin_nanoseconds_);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    call_(context_, thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace honed
