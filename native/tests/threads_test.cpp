// The pool under load: every task exactly once, on every thread count, back to back and after sleeping. Meant for
// ThreadSanitizer too. Exit code 1 on the first wrong count.
#include "executor/threads.h"

#include <atomic>
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

// While thread 1 is kept inside a task, the others finish everything else.
bool nobody_waits_for_a_held_thread(honed::Threads& pool) {
  constexpr int64_t kTasks = 100;
  std::atomic<int64_t> others{0};
  std::atomic<bool> held{false};
  bool all = true;
  pool.for_each(kTasks, [&](int64_t, int) noexcept {
    if (held.exchange(true)) {
      ++others;
      return;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (others.load() < kTasks - 1 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    all = others.load() == kTasks - 1;
  });
  return all;
}

// Threads are numbered from 0 to count - 1, so that each may have scratch memory of its own.
bool numbers_are_in_range(honed::Threads& pool) {
  std::atomic<bool> ok{true};
  std::vector<std::atomic<int>> inside(static_cast<std::size_t>(pool.count()));
  pool.for_each(200, [&](int64_t, int thread) noexcept {
    if (thread < 0 || thread >= pool.count()) {
      ok = false;
      return;
    }
    if (++inside[static_cast<std::size_t>(thread)] != 1) ok = false;  // nobody else has this number now
    --inside[static_cast<std::size_t>(thread)];
  });
  return ok;
}

// Each line of a stretch once, from its first, and again for another stretch.
bool asks_for_each_line_once() {
  const std::vector<std::byte> memory(1000);
  const honed::Stretch stretches[] = {{memory.data(), 1000}, {memory.data() + 64, 64}, {nullptr, 0}};
  honed::Lookahead lookahead;
  const auto lines = [&](const honed::Stretch* stretch) {
    int count = 0;
    while (count < 100 && lookahead.ask(stretch)) ++count;
    return count;
  };
  return lines(&stretches[0]) == 16 && lines(&stretches[0]) == 0 && lines(&stretches[1]) == 1 &&
         lines(&stretches[2]) == 0 && lines(&stretches[0]) == 16 && lines(nullptr) == 0;
}

// Nothing changes by what the threads are told to expect, memory that does not exist among it.
bool each_task_once_while_expecting(honed::Threads& pool, const std::vector<honed::Stretch>& real,
                                    const std::vector<honed::Stretch>& none) {
  bool ok = true;
  for (int round = 0; round < 100; ++round) {
    pool.expect(round % 3 == 0 ? real.data() : round % 3 == 1 ? none.data() : nullptr);
    ok = each_task_once(pool, round) && ok;
  }
  pool.expect(nullptr);
  return ok;
}

// The parts of all threads are the tasks, one after the other.
bool parts_are_the_tasks(const honed::Threads& pool) {
  bool ok = pool.part_begin(0, 17) == 0 && pool.part_begin(pool.count(), 17) == 17;
  for (int thread = 0; thread < pool.count(); ++thread) {
    ok = ok && pool.part_begin(thread, 17) <= pool.part_begin(thread + 1, 17);
  }
  return ok;
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
  const std::vector<std::byte> memory(1 << 16);
  const std::vector<honed::Stretch> real(8, {memory.data(), 1 << 16});
  const std::vector<honed::Stretch> none(8, {nullptr, 1 << 16});
  for (const int count : {1, 2, 3, 8}) {
    honed::Threads pool(count);
    for (int round = 0; round < 200; ++round) {
      if (!numbers_are_in_range(pool)) return fail("numbers of threads", count);
      if (!each_task_once(pool, round)) return fail("each task once", count);
    }
    if (!each_task_once_while_expecting(pool, real, none)) return fail("each task once while expecting", count);
    if (!parts_are_the_tasks(pool)) return fail("parts", count);
    if (count > 1 && !nobody_waits_for_a_held_thread(pool)) return fail("a held thread", count);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than the spin: the workers sleep
    if (!each_task_once(pool, 1000)) return fail("each task once after sleep", count);
  }
  if (!asks_for_each_line_once()) return fail("asking for each line once", 1);
  for (const int count : {-1, 0, 1025}) {
    if (!refuses(count)) return fail("refusal", count);
  }
  std::puts("threads: ok");
  return 0;
}
