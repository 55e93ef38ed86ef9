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

#include "executor/lookahead.h"

namespace honed {

class Threads {
 public:
  // The caller is thread 0; count - 1 workers are started. Throws std::invalid_argument outside 1..1024.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Where the part of a thread begins, of tasks that are shared out; that of thread `count()` is their end.
  int64_t part_begin(int64_t thread, int64_t tasks) const { return thread * tasks / count_; }

  // What each thread asks for while it waits from now on: of_threads[count()], which must outlive this object; null for
  // nothing.
  void expect(const Stretch* of_threads) { expected_.store(of_threads, std::memory_order_release); }

  // fn(task, thread) once for each task in [0, tasks), at most 2^32 - 1 of them. Each thread begins with a part of its
  // own and goes through it in order, so that what its tasks read stays one ascending stream; who is done takes the
  // last task that another has left. Returns when all are done. A thread that has no processor just now holds nobody
  // up unless it is inside a task. fn must not throw and must not call for_each. Throws std::logic_error in a process
  // forked after the pool was made, whose workers do not exist.
  template <typename Fn>
  void for_each(int64_t tasks, const Fn& fn) {
    static_assert(std::is_nothrow_invocable_v<const Fn&, int64_t, int>);
    if (count_ == 1 || tasks <= 1) {
      for (int64_t task = 0; task < tasks; ++task) fn(task, 0);
      return;
    }
    share([](const void* context, int64_t task, int thread) noexcept { (*static_cast<const Fn*>(context))(task, thread); },
          &fn, tasks);
  }

 private:
  using Call = void (*)(const void* context, int64_t task, int thread) noexcept;
  void share(Call call, const void* context, int64_t tasks);
  void take_tasks(int thread);
  int64_t take(int thread);  // a task, or -1 where none is left
  void work(int thread);
  void stop();  // ends and joins the workers that were made
  template <typename T>
  void wait_while(const std::atomic<T>& value, T old, int thread);

  int count_;
  int64_t spin_nanoseconds_;
  pid_t process_;
  struct alignas(64) Part {
    std::atomic<uint64_t> range{0};  // tasks that nobody has taken yet: [first, end), `first` in the low half
    Lookahead lookahead;
  };

  // The work at hand. Written by the caller before any part; read only by who has taken a task, which keeps the work,
  // and so these three, from being replaced.
  Call call_ = nullptr;
  const void* context_ = nullptr;
  int64_t tasks_ = 0;
  alignas(64) std::atomic<int> generation_{0};     // a change wakes the workers
  std::atomic<const Stretch*> expected_{nullptr};  // of each thread, or null
  std::unique_ptr<Part[]> parts_;                  // of each thread
  alignas(64) std::atomic<int64_t> finished_{0};   // tasks that are done
  std::atomic<bool> stopping_{false};
  std::unique_ptr<std::vector<std::thread>> workers_;
};

}  // namespace honed
