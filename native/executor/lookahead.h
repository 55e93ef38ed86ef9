// Memory asked for before it is read, by threads that would only wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace honed {

class Needs;
class Threads;

// What a thread reads first, and in ascending order, in work that is still to come.
struct Stretch {
  const std::byte* first;
  int64_t bytes;
};

// [ops][threads]: what each thread reads first of the next panels that are streamed after an op, in a step of few rows.
std::vector<Stretch> stretches_after_ops(const Needs& needs, const Threads& threads);

// How far one thread has got with asking. Only that thread uses it.
class Lookahead {
 public:
  // Asks for the next line of a stretch, into the second cache; false where all have been asked for, or there is none.
  // A hint to the processor: nothing is read, so that a stretch may be memory that no longer exists.
  bool ask(const Stretch* stretch) {
    if (stretch != stretch_) {
      stretch_ = stretch;
      asked_ = 0;
    }
    if (stretch == nullptr || asked_ >= stretch->bytes) return false;
    __builtin_prefetch(stretch->first + asked_, 0, 2);
    asked_ += kLine;
    return true;
  }

 private:
  static constexpr int64_t kLine = 64;

  const Stretch* stretch_ = nullptr;
  int64_t asked_ = 0;
};

}  // namespace honed
