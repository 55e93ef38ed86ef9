// What both kinds of attention (float cells, int8 cells) share: a tile of rows and the span of keys it goes over.
// Everything is static or a template of this namespace, as in vector.h.
#pragma once

#include "kernels/avx512vnni/vector.h"

namespace honed::avx512vnni {

// Calls body.operator()<Count>(first) over [0, end) in as few blocks of up to `Most` as there can be, of one size or
// two that differ by one: a last block of one row would cost nearly what a full one does.
template <int Most, typename Body>
static inline void for_even_blocks(int64_t end, const Body& body) {
  const int64_t blocks = (end + Most - 1) / Most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = i * end / blocks;
    for_blocks<Most>(first, (i + 1) * end / blocks, body);
  }
}

// "Rows" here are all pairs of a token and a query head, token by token.
template <typename Cell>
struct Tile {
  const AttentionArgs& args;
  int64_t rows;
  int64_t span_first;  // key
  int64_t page_begin;  // those in which any row sees a key
  int64_t page_end;
  float* scores;  // [rows][kScoreStride], in scratch behind what is made of q

  explicit Tile(const AttentionArgs& tile) : args(tile) {
    const int64_t tokens = args.row_end - args.row_begin;
    rows = tokens * args.group;
    span_first = args.span * kSpanTokens;
    page_begin = first(0) / kPageTokens;
    page_end = last(rows - 1) / kPageTokens + 1;
    scores = args.scratch + rows * ((args.head_dim + kLanes - 1) / kLanes * kLanes);
  }

  // The first and last key of the span that a row sees.
  int64_t first(int64_t row) const {
    const int64_t key = args.window > 0 ? args.first_position + row / args.group - args.window + 1 : 0;
    return key > span_first ? key : span_first;
  }
  int64_t last(int64_t row) const {
    const int64_t position = args.first_position + row / args.group;
    return position < span_first + kSpanTokens ? position : span_first + kSpanTokens - 1;
  }
  const Cell* page(const std::byte* base, int64_t page) const {
    const std::byte* head = base + args.pages[page] * args.cache.page_bytes + args.kv_head * args.cache.head_bytes;
    return reinterpret_cast<const Cell*>(head);
  }
  const Cell* keys(int64_t index) const { return page(args.cache.keys, index); }
  const Cell* values(int64_t index) const { return page(args.cache.values, index); }
  const float* q_of(int64_t row) const {
    const int64_t head = args.kv_head * args.group + row % args.group;
    return args.q + (args.row_begin + row / args.group) * args.q_stride + head * args.head_dim;
  }
  float* scores_of(int64_t row) const { return scores + row * kScoreStride; }
  float* partial(int64_t row) const { return args.partials + row * (kPartialValues + args.head_dim); }
};

// Which of the sixteen keys from `key` (counted within the span) on a row sees.
static inline __mmask16 visible_lanes(int64_t key, int64_t first, int64_t end) {
  if (key >= first && key + kVector <= end) return __mmask16{0xffff};
  return static_cast<__mmask16>(first_lanes(end - key) & ~first_lanes(first - key));
}

inline constexpr int64_t kFirstPages = 2;  // of the keys of a tile: prefetch_first asks for them, Stream for the rest

// Asks for what will be read next, the keys of this tile from the third page on, its values, and the keys of the next
// one, a few lines at a time while something else is computed: pages lie apart, so no hardware foresees them, and memory
// is slower than the arithmetic of few rows, so it must never rest. Into the second cache, which can wait for more lines
// at a time than the first.
class Stream {
 public:
  template <typename Cell>
  explicit Stream(const Tile<Cell>& tile) : bytes_(tile.args.cache.head_bytes) {
    const AttentionArgs& args = tile.args;
    const char** place = pages_;
    for (int64_t page = tile.page_begin + kFirstPages; page < tile.page_end; ++page) {
      *place++ = reinterpret_cast<const char*>(tile.keys(page));
    }
    for (int64_t page = tile.page_begin; page < tile.page_end; ++page) {
      *place++ = reinterpret_cast<const char*>(tile.values(page));
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

// The keys of the first pages, where nobody has asked for them before.
template <typename Cell>
static inline void prefetch_first(const Tile<Cell>& tile) {
  for (int64_t page = tile.page_begin; page < tile.page_end && page < tile.page_begin + kFirstPages; ++page) {
    const char* line = reinterpret_cast<const char*>(tile.keys(page));
    for (int64_t byte = 0; byte < tile.args.cache.head_bytes; byte += 64) _mm_prefetch(line + byte, _MM_HINT_T1);
  }
}

// Attention over int8 cells, in attention_int8.cpp.
void attend_int8(const AttentionArgs& args);

}  // namespace honed::avx512vnni
