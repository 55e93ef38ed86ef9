// A lab for the attention kernels: one decoded token and a chunk of a prompt at several positions, each kind of KV
// cache, on one thread, beside the memory limit that the same run measures.
//
//   attention_bench [--isa NAME] [--cache f32|bf16|int8] [--heads N] [--kv-heads N] [--head-dim N] [--rows N]
//                   [--seconds S] [--stream-mib N]
//
// As a whole model does, it goes from layer to layer: keys and values of all layers together exceed every cache;
// --stream-mib 0 leaves one layer, which shows the kernel without the memory.
// GB/s counts the cells and scales that a token sees, once; GFLOP/s two operations for each query, key and feature, for
// scores and for values. Times are medians of CPU time of the thread.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/kernel_table.h"
#include "cpu/select.h"
#include "executor/cache.h"
#include "executor/tiles.h"

namespace {

using namespace honed;

constexpr int64_t kMib = int64_t{1} << 20;
constexpr int64_t kChunk = 512;
constexpr const char* kTypes[] = {"f32", "bf16", "int8"};

struct Options {
  std::string isa, cache;
  int64_t heads = 9, kv_heads = 3, head_dim = 64, rows = 0;
  double seconds = 0.2;
  int64_t stream_bytes = 64 * kMib;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(flag + " needs a value");
    const std::string value = argv[i + 1];
    if (flag == "--isa") options.isa = value;
    else if (flag == "--cache") options.cache = value;
    else if (flag == "--heads") options.heads = std::atoll(value.c_str());
    else if (flag == "--kv-heads") options.kv_heads = std::atoll(value.c_str());
    else if (flag == "--head-dim") options.head_dim = std::atoll(value.c_str());
    else if (flag == "--rows") options.rows = std::atoll(value.c_str());
    else if (flag == "--seconds") options.seconds = std::atof(value.c_str());
    else if (flag == "--stream-mib") options.stream_bytes = std::atoll(value.c_str()) * kMib;
    else throw std::invalid_argument(flag + " is none of the flags that the head of this file lists");
  }
  if (options.kv_heads < 1 || options.head_dim < 2 || options.head_dim % 2 != 0 || options.heads < options.kv_heads ||
      options.heads % options.kv_heads != 0) {
    throw std::invalid_argument("heads must be a multiple of kv heads, and head-dim even");
  }
  return options;
}

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Rows of one sequence up to `position`, and the layers whose caches they go through.
struct Bench {
  const KernelTable& table;
  const Options& options;
  int64_t rows, position, layers;
  Cache cache;
  AttentionTiles tiles;
  std::vector<float> qkv, y, scratch, partials, cos, sin;
  std::vector<int32_t> positions, sequences, pages;
  int64_t group() const { return options.heads / options.kv_heads; }
  int64_t stride() const { return (options.heads + 2 * options.kv_heads) * options.head_dim; }
  int64_t page_count() const { return position / kPageTokens + 1; }

  static int64_t layers_for(const Options& options, int64_t position, KvType type) {
    const Cache one({{options.kv_heads, options.head_dim, options.head_dim}}, {0}, {1}, type);
    return std::max<int64_t>(1, options.stream_bytes / (one.page_bytes().front() * (position / kPageTokens + 1)));
  }

  Bench(const KernelTable& kernels, const Options& shape, int64_t count, int64_t last, KvType type)
      : table(kernels),
        options(shape),
        rows(count),
        position(last),
        layers(std::min<int64_t>(layers_for(shape, last, type), 4096)),
        cache(std::vector<CacheShape>(static_cast<std::size_t>(layers), {shape.kv_heads, shape.head_dim, shape.head_dim}),
              std::vector<int64_t>(static_cast<std::size_t>(layers), 0), {page_count()}, type),
        tiles(last + 1) {
    const int64_t tokens = position + 1;
    qkv.resize(static_cast<std::size_t>(tokens * stride()));
    for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = static_cast<float>(i * 7919 % 509) / 254.0f - 1.0f;
    y.resize(static_cast<std::size_t>(tokens * options.heads * options.head_dim));
    cos.assign(static_cast<std::size_t>(tokens * options.head_dim / 2), 1.0f);
    sin.assign(cos.size(), 0.0f);
    const int64_t most = AttentionTiles::most_rows(group()) * group();
    scratch.resize(static_cast<std::size_t>(most * (kScoreStride + (options.head_dim + 15) / 16 * 16)));
    partials.resize(static_cast<std::size_t>(2 * most * (kPartialValues + options.head_dim)));
    for (int64_t i = 0; i < tokens; ++i) positions.push_back(static_cast<int32_t>(i));
    sequences.assign(static_cast<std::size_t>(tokens), 0);
    for (int64_t i = 0; i < page_count(); ++i) pages.push_back(static_cast<int32_t>(i));
    for (int64_t layer = 0; layer < layers; ++layer) write(layer, 0, tokens);
  }

  void write(int64_t layer, int64_t begin, int64_t end) {
    table.rope_kv({qkv.data(), stride(), begin, end, positions.data(), sequences.data(), pages.data(), page_count(),
                   cos.data(), sin.data(), options.heads, options.kv_heads, options.head_dim, options.head_dim, nullptr,
                   nullptr, 1e-5f, false, cache.layer(layer)});
  }

  // Of the next span, of the next kv head or of the next tile.
  AttentionNext next_keys(const AttentionTile& tile, int64_t kv_head, int64_t span) const {
    const bool last = span + 1 == tile.span_end;
    const int64_t head = last ? (kv_head + 1) % options.kv_heads : kv_head;
    const int64_t begin = (last ? tile.span_begin : span + 1) * kSpanTokens;
    return {pages.data(), head, begin / kPageTokens, std::min((begin + kSpanTokens) / kPageTokens, page_count())};
  }

  // As the executor does it on one thread.
  void attend(int64_t layer) {
    const int64_t first_row = position + 1 - rows;
    const Sight causal{kEveryKey, 0};
    tiles.cut({rows, positions.data() + first_row, sequences.data(), nullptr},
              {options.heads, options.kv_heads, causal}, 1, {0, 0});
    for (int64_t task = 0; task < tiles.tasks(); ++task) {
      const AttentionTile& tile = tiles.tile_of(task);
      const int64_t kv_head = task - tile.task_begin;
      const int64_t span_floats = tile.rows() * group() * (kPartialValues + options.head_dim);
      AttentionMergeArgs merge{partials.data(), 1, span_floats, tile.rows(), group(), options.head_dim, nullptr,
                               y.data() + (tile.row_begin * options.heads + kv_head * group()) * options.head_dim,
                               options.heads * options.head_dim};
      for (int64_t span = tile.span_begin; span < tile.span_end; ++span) {
        float* place = partials.data() + (span > tile.span_begin ? span_floats : 0);
        table.attention({.q = qkv.data(),
                         .q_stride = stride(),
                         .row_begin = tile.row_begin,
                         .row_end = tile.row_end,
                         .first_position = positions[static_cast<std::size_t>(first_row + tile.row_begin)],
                         .pages = pages.data(),
                         .group = group(),
                         .kv_head = kv_head,
                         .head_dim = options.head_dim,
                         .span = span,
                         .before = causal.before,
                         .after = causal.after,
                         .keys = tile.keys,
                         .scale = 0.125f,
                         .soft_cap = 0.0f,
                         .bias = nullptr,
                         .reach = 0,
                         .cache = cache.layer(layer),
                         .scratch = scratch.data(),
                         .partials = place,
                         .next = next_keys(tile, kv_head, span)});
        merge.count = span > tile.span_begin ? 2 : 1;
        if (merge.count == 2 || tile.spans() == 1) table.attention_merge(merge);
      }
    }
  }
};

template <typename Body>
double seconds_of(int64_t layers, double budget, const Body& body) {
  std::vector<double> times;
  double spent = 0;
  for (int64_t i = 0; spent < budget || times.size() < 5; ++i) {
    const double start = thread_seconds();
    body(i % layers);
    times.push_back(thread_seconds() - start);
    spent += times.back();
  }
  return median(times);
}

double memory_limit(const KernelTable& table) {
  AlignedBuffer memory(static_cast<std::size_t>(128 * kMib));
  std::memset(memory.data(), 1, memory.size());
  const double seconds = seconds_of(1, 0.2, [&](int64_t) {
    volatile uint64_t sink = table.read_memory(memory.data(), static_cast<int64_t>(memory.size()));
    static_cast<void>(sink);
  });
  return static_cast<double>(memory.size()) / seconds;
}

void run(const Options& options) {
  const KernelTable table = select_kernels(options.isa);
  const double limit = memory_limit(table);
  std::printf("%s, one thread, %lld heads, %lld kv heads of %lld: memory %.2f GB/s\n", table.isa,
              static_cast<long long>(options.heads), static_cast<long long>(options.kv_heads),
              static_cast<long long>(options.head_dim), limit * 1e-9);
  std::printf("%-5s %4s %9s  %10s  %6s %5s  %7s  %8s\n", "cache", "rows", "position", "us", "GB/s", "", "GFLOP/s",
              "write us");
  for (const KvType type : {KvType::f32, KvType::bf16, KvType::int8}) {
    if (!options.cache.empty() && options.cache != kTypes[static_cast<int>(type)]) continue;
    for (const int64_t rows : {int64_t{1}, kChunk}) {
      if (options.rows != 0 && options.rows != rows) continue;
      for (const int64_t end : {128, 512, 2048, 8192}) {
        if (end < rows) continue;
        Bench bench(table, options, rows, end - 1, type);
        const double seconds = seconds_of(bench.layers, options.seconds, [&](int64_t layer) { bench.attend(layer); });
        const double writing = seconds_of(bench.layers, options.seconds / 4,
                                          [&](int64_t layer) { bench.write(layer, end - rows, end); });
        const double bytes = static_cast<double>(bench.cache.page_bytes().front() / bench.layers * bench.page_count());
        const double operations = 4.0 * static_cast<double>(bench.tiles.work() * options.head_dim);
        std::printf("%-5s %4lld %9lld  %10.1f  %6.2f %4.0f%%  %7.2f  %8.1f\n", kTypes[static_cast<int>(type)],
                    static_cast<long long>(rows), static_cast<long long>(end), seconds * 1e6, bytes / seconds * 1e-9,
                    100 * bytes / seconds / limit, operations / seconds * 1e-9, writing * 1e6);
        std::fflush(stdout);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "attention_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
