// The pool under load: every task exactly once, on every thread count, back to back and after sleeping. Meant for
// ThreadSanitizer too. Exit code 1 on the first wrong count.
#include "executor/threads.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

bool each_task_once(honed::Threads& pool, int64_t tasks) {
  std::vector<int> done(static_cast<std::size_t>(tasks), 0);  // unsynchronized: a task run twice is a race
  pool.for_each(tasks, [&](int64_t task, int) noexcept { ++done[static_cast<std::size_t>(task)]; });
  for (const int count : done) {
    if (count != 1) return false;
  }
  return true;
}

bool each_thread_once(honed::Threads& pool) {
  std::vector<int> done(static_cast<std::size_t>(pool.count()), 0);
  pool.run([&](int thread) noexcept { ++done[static_cast<std::size_t>(thread)]; });
  for (const int count : done) {
    if (count != 1) return false;
  }
  return true;
}

bool refuses(int count) {
  try {
    const honed::Threads pool(count);
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

int fail(const char* what, int count) {
  std::fprintf(stderr, "FAILED: %s with %d threads\n", what, count);
  return 1;
}

}  // namespace

int main() {
  for (const int count : {1, 2, 3, 8}) {
    honed::Threads pool(count);
    for (int round = 0; round < 200; ++round) {
      if (!each_thread_once(pool)) return fail("each thread once", count);
      if (!each_task_once(pool, round)) return fail("each task once", count);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than the spin: the workers sleep
    if (!each_task_once(pool, 1000)) return fail("each task once after sleep", count);
  }
  for (const int count : {-1, 0, 1025}) {
    if (!refuses(count)) return fail("refusal", count);
  }
  std::puts("threads: ok");
  return 0;
}
