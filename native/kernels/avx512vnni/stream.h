// What attention reads next, asked for while it computes. All of it is local to the unit that includes it, as in vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"
#include "kernels/paging/tile.h"

namespace honed::avx512vnni {
namespace {

// Lines to ask for beside a part of a step of keys, beside one of values, and beside sixteen exponentials: about as many
// a cycle everywhere (docs/measurements/attention.md).
struct LinesAside {
  int keys, values, weights;
};
template <typename Products>
inline constexpr LinesAside kLinesAside = Products::kCells == 1   ? LinesAside{2, 4, 4}
                                          : Products::kParts == 2 ? LinesAside{1, 2, 2}
                                                                  : LinesAside{2, 3, 4};

// Asks for what will be read next, the keys of this tile but for the first pages, its values, and the keys of the next
// one, a few lines at a time while something else is computed: pages lie apart, so no hardware foresees them, and memory
// is slower than the arithmetic of few rows, so it must never rest. Into the second cache, which can wait for more lines
// at a time than the first.
class Stream {
 public:
  explicit Stream(const paging::Tile& tile) : bytes_(tile.args.cache.head_bytes) {
    const AttentionArgs& args = tile.args;
    const char** place = pages_;
    for (int64_t page = tile.page_begin + paging::kAhead; page < tile.page_end; ++page) {
      *place++ = tile.keys<char>(page);
    }
    for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
      *place++ = tile.values<char>(page);
    }
    for (int64_t page = args.next.page_begin; page < args.next.page_end; ++page) {
      const std::byte* head = args.cache.keys + args.next.pages[page] * args.cache.page_bytes;
      *place++ = reinterpret_cast<const char*>(head + args.next.kv_head * args.cache.head_bytes);
    }
    *place = nullptr;
    turn();
  }

  // The end of a page may be passed by some lines. No call here: it would cost the registers of whoever asks.
  template <int Lines>
  [[gnu::always_inline]] void ask() {
    if (line_ == nullptr) return;
#pragma GCC unroll 16
    for (int i = 0; i < Lines; ++i) _mm_prefetch(line_ + i * kLine, _MM_HINT_T1);
    line_ += Lines * kLine;
    if (line_ >= end_) turn();
  }

  // As PageAhead has them: in whatever order the cells are read, a line of the stream for each line of theirs.
  template <int Lines>
  struct Beside {
    Stream& stream;

    template <int Count>
    [[gnu::always_inline]] void ask(int64_t) const {
      stream.ask<Lines>();
    }
  };
  template <typename Products>
  Beside<kLinesAside<Products>.keys> beside_keys(const paging::Tile&, int64_t) {
    return {*this};
  }
  template <typename Products>
  Beside<kLinesAside<Products>.values> beside_values(const paging::Tile&, int64_t) {
    return {*this};
  }
  template <typename Products>
  [[gnu::always_inline]] void beside_weights() {
    ask<kLinesAside<Products>.weights>();
  }

 private:
  static constexpr int64_t kLine = 64;

  [[gnu::always_inline]] void turn() {
    line_ = pages_[index_++];
    if (line_ != nullptr) end_ = line_ + bytes_;
  }

  const char* line_;
  const char* end_;
  int64_t bytes_;
  int64_t index_ = 0;
  const char* pages_[3 * kSpanTokens / kPageTokens + 1];  // then null
};

}  // namespace
}  // namespace honed::avx512vnni
