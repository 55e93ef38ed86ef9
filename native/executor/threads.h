// A pool of threads that share one piece of work at a time. Which thread does a task never changes a result:
// tasks write disjoint memory and each has one fixed order inside.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include <sys/types.h>

namespace honed {

class Threads {
 public:
  // The caller is thread 0; count - 1 workers are started. Throws std::invalid_argument outside 1..1024.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // fn(thread) once on every thread; returns when all have. fn must not throw and must not call run.
  // Throws std::logic_error in a process forked after the pool was made, whose workers do not exist.
  template <typename Fn>
  void run(const Fn& fn) {
    static_assert(std::is_nothrow_invocable_v<const Fn&, int>);
    start([](const void* context, int thread) noexcept { (*static_cast<const Fn*>(context))(thread); }, &fn);
  }

  // fn(task, thread) once for each task in [0, tasks), each handed to the next free thread.
  template <typename Fn>
  void for_each(int64_t tasks, const Fn& fn) {
    static_assert(std::is_nothrow_invocable_v<const Fn&, int64_t, int>);
    if (count_ == 1 || tasks <= 1) {
      for (int64_t task = 0; task < tasks; ++task) fn(task, 0);
      return;
    }
    std::atomic<int64_t> next{0};
    run([&](int thread) noexcept {
      for (int64_t task = next.fetch_add(1, std::memory_order_relaxed); task < tasks;
           task = next.fetch_add(1, std::memory_order_relaxed)) {
        fn(task, thread);
      }
    });
  }

 private:
  using Call = void (*)(const void* context, int thread) noexcept;
  void start(Call call, const void* context);
  void work(int thread);

  int count_;
  int64_t spin_nanoseconds_;
  pid_t process_;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  alignas(64) std::atomic<int> generation_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<std::vector<std::thread>> workers_;
};

}  // namespace honed
