// Waiting is a short spin, since the next op of a decode step follows within microseconds, and then sleep in the
// kernel, so that an idle or crowded machine is not kept busy. Who spins asks for what it will read next.
#include "executor/threads.h"

#include <unistd.h>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>

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

constexpr uint64_t range_of(int64_t first, int64_t end) {
  return static_cast<uint64_t>(end) << 32 | static_cast<uint64_t>(first);
}
constexpr int64_t first_of(uint64_t range) { return static_cast<int64_t>(range & 0xffffffff); }
constexpr int64_t end_of(uint64_t range) { return static_cast<int64_t>(range >> 32); }

// Takes the first or the last task of a range; -1 where it is empty. A range that was replaced by one of the same
// bounds in between is no mistake: the task is then one of the new work.
int64_t take_from(std::atomic<uint64_t>& range, bool last) {
  uint64_t seen = range.load(std::memory_order_acquire);
  while (first_of(seen) < end_of(seen)) {
    const int64_t first = first_of(seen);
    const int64_t end = end_of(seen);
    const uint64_t rest = last ? range_of(first, end - 1) : range_of(first + 1, end);
    if (range.compare_exchange_weak(seen, rest, std::memory_order_acq_rel, std::memory_order_acquire)) {
      return last ? end - 1 : first;
    }
  }
  return -1;
}

}  // namespace

Threads::Threads(int count)
    : count_(checked(count)),
      // With more threads than processors a spinning one keeps a working one from its processor.
      spin_nanoseconds_(count <= default_threads() ? kSpinNanoseconds : 0),
      process_(getpid()),
      parts_(std::make_unique<Part[]>(static_cast<std::size_t>(count_))),
      workers_(std::make_unique<std::vector<std::thread>>()) {
  workers_->reserve(static_cast<std::size_t>(count_ - 1));
  try {
    for (int thread = 1; thread < count_; ++thread) {
      workers_->emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error& error) {
    const std::size_t made = workers_->size() + 1;
    stop();
    throw std::runtime_error("threads = " + std::to_string(count_) + ": the system gives this process " +
                             std::to_string(made) + " (" + error.code().message() +
                             "): ask for fewer, or raise the limits on processes and memory");
  } catch (...) {
    stop();
    throw;
  }
}

void Threads::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& worker : *workers_) worker.join();
}

Threads::~Threads() {
  if (getpid() != process_) {
    // A forked child has the objects of the workers but not the workers: joining them would wait for ever.
    static_cast<void>(workers_.release());
    return;
  }
  stop();
}

// Returns once `value` is no longer `old`.
template <typename T>
void Threads::wait_while(const std::atomic<T>& value, T old, int thread) {
  if (value.load(std::memory_order_acquire) != old) return;
  if (spin_nanoseconds_ > 0) {
    const Stretch* expected = expected_.load(std::memory_order_acquire);
    if (expected != nullptr) expected += thread;
    Lookahead& lookahead = parts_[static_cast<std::size_t>(thread)].lookahead;
    const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(spin_nanoseconds_);
    do {
      for (int i = 0; i < 32; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        if (!lookahead.ask(expected)) pause();
      }
    } while (std::chrono::steady_clock::now() < end);
  }
  value.wait(old, std::memory_order_acquire);
}

void Threads::share(Call call, const void* context, int64_t tasks) {
  if (getpid() != process_) {
    throw std::logic_error("the threads of this executor belong to the process that made it; make one after fork");
  }
  if (tasks > std::numeric_limits<uint32_t>::max()) {
    throw std::logic_error("tasks = " + std::to_string(tasks) + ": a part of them is counted in 32 bits");
  }
  call_ = call;
  context_ = context;
  tasks_ = tasks;
  finished_.store(0, std::memory_order_relaxed);
  for (int64_t thread = 0; thread < count_; ++thread) {
    const uint64_t range = range_of(part_begin(thread, tasks), part_begin(thread + 1, tasks));
    parts_[static_cast<std::size_t>(thread)].range.store(range, std::memory_order_release);
  }
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take_tasks(0);
  // Only tasks are waited for, not workers: one that comes too late for any finds all parts empty and waits for the
  // next work. Sleeping, where it comes to that, also frees this processor for a worker that lost its own.
  for (int64_t done = finished_.load(std::memory_order_acquire); done != tasks;
       done = finished_.load(std::memory_order_acquire)) {
    wait_while(finished_, done, 0);
  }
}

void Threads::take_tasks(int thread) {
  int64_t done = 0;
  int64_t all = 0;
  // A worker still on its way out of the work before may take a task of this one: it is as good as any.
  for (int64_t task = take(thread); task >= 0; task = take(thread)) {
    all = tasks_;
    call_(context_, task, thread);
    ++done;
  }
  if (done == 0) return;
  // From here on the work may be over and its fields those of the next.
  if (finished_.fetch_add(done, std::memory_order_acq_rel) + done == all) finished_.notify_one();
}

int64_t Threads::take(int thread) {
  int64_t task = take_from(parts_[static_cast<std::size_t>(thread)].range, false);
  for (int i = 1; task < 0 && i < count_; ++i) {
    task = take_from(parts_[static_cast<std::size_t>((thread + i) % count_)].range, true);
  }
  return task;
}

void Threads::work(int thread) {
  for (int seen = 0;;) {
    wait_while(generation_, seen, thread);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_tasks(thread);
  }
}

}  // namespace honed
