// A tile of attention and the span of keys that it goes over: which keys a row sees, where pages, scores and sums lie.
// The same on every instruction set; all of it is local to the unit that includes it.
#pragma once

#include "cpu/kernel_table.h"

namespace honed::paging {
namespace {

constexpr int64_t kAhead = 2;  // pages between a prefetch and the use

// Calls body.operator()<Count>() for a count from 1 to `Most`.
template <int Most, typename Body>
inline void with_count(int64_t count, const Body& body) {
  if constexpr (Most > 1) {
    if (count < Most) return with_count<Most - 1>(count, body);
  }
  body.template operator()<Most>();
}

// Calls body.operator()<Count>(first) over [0, end) in as few blocks of up to `Most` as there can be, of one size or
// two that differ by one: a last block of one row would cost nearly what a full one does.
template <int Most, typename Body>
inline void for_even_blocks(int64_t end, const Body& body) {
  const int64_t blocks = (end + Most - 1) / Most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * end / blocks;
    with_count<Most>((i + 1) * end / blocks - first, [&]<int Count>() { body.template operator()<Count>(first); });
  }
}

// Asks for the cells of a page some time before they are needed: pages lie apart, so no hardware foresees the next.
// Into the second cache, which can wait for more lines at a time than the first. always_inline: gcc takes a call that
// only prefetches for one without effect, and drops it.
template <typename Cell>
[[gnu::always_inline]] inline void prefetch(const Cell* cells, int64_t from, int64_t count) {
  constexpr int64_t kLine = 64;
  const char* line = reinterpret_cast<const char*>(cells + from);
  for (int64_t byte = 0; byte < count * static_cast<int64_t>(sizeof(Cell)); byte += kLine) {
    __builtin_prefetch(line + byte, 0, 2);
  }
}

// "Rows" here are all pairs of a token and a query head, token by token.
struct Tile {
  const AttentionArgs& args;
  int64_t rows;
  int64_t span_first;  // key
  int64_t key_end;     // of the span or of the sequence
  int64_t page_begin;  // those in which any row sees a key
  int64_t page_end;
  float* q;       // in scratch, for what is made of it: head_dim up to a multiple of 16 floats a row
  float* scores;  // [rows][kScoreStride], in scratch

  explicit Tile(const AttentionArgs& tile) : args(tile) {
    const int64_t tokens = args.row_end - args.row_begin;
    rows = tokens * args.group;
    span_first = args.span * kSpanTokens;
    key_end = span_first + kSpanTokens < args.keys ? span_first + kSpanTokens : args.keys;
    page_begin = first(0) / kPageTokens;
    page_end = last(rows - 1) / kPageTokens + 1;
    q = args.scratch;
    scores = args.scratch + rows * ((args.head_dim + kLanes - 1) / kLanes * kLanes);
  }

  // The first and last key of the span that a row sees: neither is before that of the row before it.
  int64_t first(int64_t row) const {
    const int64_t key = position(row) - args.before;
    return key > span_first ? key : span_first;
  }
  int64_t last(int64_t row) const {
    const int64_t key = position(row) + args.after;
    return key < key_end ? key : key_end - 1;
  }
  int64_t position(int64_t row) const { return args.first_position + row / args.group; }

  template <typename Cell>
  const Cell* keys(int64_t page) const {
    return cells<Cell>(args.cache.keys, page);
  }
  template <typename Cell>
  const Cell* values(int64_t page) const {
    return cells<Cell>(args.cache.values, page);
  }
  // What is read kAhead pages after the keys or the values of this page; the last values are followed by themselves.
  template <typename Cell>
  const Cell* after_keys(int64_t page) const {
    const int64_t ahead = page + kAhead;
    return ahead < page_end ? keys<Cell>(ahead) : after_values<Cell>(page_begin + ahead - page_end - kAhead);
  }
  template <typename Cell>
  const Cell* after_values(int64_t page) const {
    return values<Cell>(page + kAhead < page_end ? page + kAhead : page_end - 1);
  }
  // The keys of the first kAhead pages, for which no page before them has asked. always_inline as prefetch is.
  [[gnu::always_inline]] void prefetch_first() const {
    for (int64_t page = page_begin; page < page_end && page < page_begin + kAhead; ++page) {
      prefetch(keys<std::byte>(page), 0, args.cache.head_bytes);
    }
  }

  const float* query(int64_t row) const {
    const int64_t head = args.kv_head * args.group + row % args.group;
    return args.q + (args.row_begin + row / args.group) * args.q_stride + head * args.head_dim;
  }
  float* scores_of(int64_t row) const { return scores + row * kScoreStride; }
  float* scores_of(int64_t row, int64_t page) const { return scores_of(row) + page * kPageTokens - span_first; }
  float* partial(int64_t row) const { return args.partials + row * (kPartialValues + args.head_dim); }
  float* sums_of(int64_t row) const { return partial(row) + kPartialValues; }
  void clear_sums() const {
    for (int64_t row = 0; row < rows; ++row) {
      float* sums = sums_of(row);
      for (int64_t d = 0; d < args.head_dim; ++d) sums[d] = 0.0f;
    }
  }

 private:
  template <typename Cell>
  const Cell* cells(const std::byte* base, int64_t page) const {
    const std::byte* head = base + args.pages[page] * args.cache.page_bytes + args.kv_head * args.cache.head_bytes;
    return reinterpret_cast<const Cell*>(head);
  }
};

}  // namespace
}  // namespace honed::paging
