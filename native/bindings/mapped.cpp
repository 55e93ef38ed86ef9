// Faults in mapped files. A page of a map that its file holds no longer is a SIGBUS, which ends a process without a word;
// here it is one line that names the file. Faults elsewhere go to whoever handled them before.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>

#include "bindings/arrays.h"
#include "bindings/handles.h"

namespace honed::bindings {
namespace {

constexpr int kMostMaps = 1024;
constexpr std::size_t kMostName = 480;

// Read by the handler, which may lock nothing: `begin` is set last and cleared first.
struct Range {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  std::atomic<bool> taken{false};
  std::size_t length = 0;
  char name[kMostName];
};

Range ranges[kMostMaps];
struct sigaction previous;
std::once_flag installed;
std::atomic_flag reported = ATOMIC_FLAG_INIT;

// The line goes out in one write, so that nothing comes between its words.
void say(const Range& range) {
  constexpr char kBefore[] = "honed: ";
  constexpr char kBehind[] =
      ": was cut short or cannot be read while it was in use; put the whole file back and start again\n";
  char line[sizeof kBefore + kMostName + sizeof kBehind];
  char* end = line;
  const auto add = [&end](const char* text, std::size_t length) {
    std::memcpy(end, text, length);
    end += length;
  };
  add(kBefore, sizeof kBefore - 1);
  add(range.name, range.length);
  add(kBehind, sizeof kBehind - 1);
  for (const char* at = line; at < end;) {
    const ssize_t written = write(STDERR_FILENO, at, static_cast<std::size_t>(end - at));
    if (written <= 0) return;
    at += written;
  }
}

const Range* range_of(std::uintptr_t address) {
  for (const Range& range : ranges) {
    const std::uintptr_t begin = range.begin.load(std::memory_order_acquire);
    if (begin != 0 && address >= begin && address < range.end.load(std::memory_order_relaxed)) return &range;
  }
  return nullptr;
}

// Only what is safe in a signal handler.
void on_fault(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const bool sent = info->si_code <= 0;  // by a process: there is no address, and it will not come again by itself
  if (!sent) {
    const Range* range = range_of(reinterpret_cast<std::uintptr_t>(info->si_addr));
    if (range != nullptr) {
      // Threads that share the work come upon the same hole at the same time: the first one speaks for all.
      if (reported.test_and_set()) {
        for (;;) pause();
      }
      say(*range);
      _exit(1);
    }
  }
  sigaction(signal, &previous, nullptr);
  if (sent) raise(signal);
  errno = error;
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &previous);
}

int watch_map(const AnyArray& data, const std::string& name) {
  require_array(data, "data", Element::uint8, 1);
  const auto begin = reinterpret_cast<std::uintptr_t>(data.data());
  const std::size_t size = data.size();
  if (size == 0) return -1;
  std::call_once(installed, install);
  for (int i = 0; i < kMostMaps; ++i) {
    Range& range = ranges[i];
    if (range.taken.exchange(true)) continue;
    // The end of a long name is what tells files apart.
    std::size_t length = std::min(name.size(), kMostName);
    while (length < name.size() && (name[name.size() - length] & 0xC0) == 0x80) --length;  // no half of a character
    std::memcpy(range.name, name.data() + (name.size() - length), length);
    range.length = length;
    range.end.store(begin + size, std::memory_order_relaxed);
    range.begin.store(begin, std::memory_order_release);
    return i;
  }
  return -1;
}

void unwatch_map(int number) {
  if (number < 0 || number >= kMostMaps) return;
  ranges[number].begin.store(0, std::memory_order_release);
  ranges[number].taken.store(false, std::memory_order_release);
}

}  // namespace

void bind_mapped(nanobind::module_& module) {
  using nanobind::literals::operator""_a;
  module.def("watch_map", watch_map, "data"_a, "name"_a);
  module.def("unwatch_map", unwatch_map, "number"_a);
}

}  // namespace honed::bindings
