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
template <typename T>
void wait_while(const std::atomic<T>& value, T old, int64_t spin_nanoseconds) {
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

void Threads::share(Call call, const void* context, int64_t tasks) {
  if (getpid() != process_) {
    throw std::logic_error("the threads of this executor belong to the process that made it; make one after fork");
  }
  call_ = call;
  context_ = context;
  tasks_ = tasks;
  finished_.store(0, std::memory_order_relaxed);
  left_.store(tasks, std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take_tasks(0);
  // Only tasks are waited for, not workers: one that comes too late for any finds `left_` spent and waits for the next
  // work. Sleeping, where it comes to that, also frees this processor for a worker that lost its own.
  for (int64_t done = finished_.load(std::memory_order_acquire); done != tasks;
       done = finished_.load(std::memory_order_acquire)) {
    wait_while(finished_, done, spin_nanoseconds_);
  }
}

void Threads::take_tasks(int thread) {
  int64_t done = 0;
  int64_t all = 0;
  // A worker still on its way out of the work before may take a task of this one: it is as good as any.
  for (int64_t left = left_.fetch_sub(1, std::memory_order_acq_rel); left > 0;
       left = left_.fetch_sub(1, std::memory_order_acq_rel)) {
    all = tasks_;
    call_(context_, all - left, thread);
    ++done;
  }
  if (done == 0) return;
  // From here on the work may be over and its fields those of the next.
  if (finished_.fetch_add(done, std::memory_order_acq_rel) + done == all) finished_.notify_one();
}

void Threads::work(int thread) {
  for (int seen = 0;;) {
    wait_while(generation_, seen, spin_nanoseconds_);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_tasks(thread);
  }
}

}  // namespace honed
