// A lab for the kernels that work row by row, on one thread and on rows that the caches hold: what they cost beside the
// matmuls and the memory. Rotation and the KV write are in attention_bench.
//
//   rows_bench [--isa NAME] [--slot NAME] [--width N] [--rows N] [--seconds S]
//
// GB/s counts the floats read and written once. Times are medians of CPU time of the thread.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/kernel_table.h"
#include "cpu/select.h"
#include "plan/plan.h"

namespace {

using namespace honed;

struct Options {
  std::string isa, slot;
  int64_t width = 0, rows = 0;
  double seconds = 0.1;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(flag + " needs a value");
    const std::string value = argv[i + 1];
    if (flag == "--isa") options.isa = value;
    else if (flag == "--slot") options.slot = value;
    else if (flag == "--width") options.width = std::atoll(value.c_str());
    else if (flag == "--rows") options.rows = std::atoll(value.c_str());
    else if (flag == "--seconds") options.seconds = std::atof(value.c_str());
    else throw std::invalid_argument(flag + " is none of --isa, --slot, --width, --rows, --seconds");
  }
  return options;
}

// Operands of every slot for rows of one width.
struct Rows {
  int64_t rows, width;
  std::vector<float> x, y, weight, partials;
  std::vector<uint16_t> table;
  std::vector<int32_t> tokens;
  std::vector<std::byte> quantized;
  std::vector<Choice> choices;

  static constexpr int64_t kEntries = 64;
  static constexpr int64_t kHeadDim = 64;
  static constexpr int64_t kSpans = 2;
  int64_t partial_floats() const { return kPartialValues + kHeadDim; }

  Rows(int64_t count, int64_t columns) : rows(count), width(columns) {
    x.resize(static_cast<std::size_t>(2 * rows * width));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 509) / 254.0f - 1.0f;
    y.resize(x.size());
    weight.assign(static_cast<std::size_t>(width), 0.5f);
    partials.assign(static_cast<std::size_t>(kSpans * rows * width / kHeadDim * partial_floats()), 1.0f);
    table.assign(static_cast<std::size_t>(kEntries * width), 0x3c00);
    for (int64_t row = 0; row < rows; ++row) tokens.push_back(static_cast<int32_t>(row % kEntries));
    quantized.resize(static_cast<std::size_t>(rows * 2 * (width + 512)));
    choices.resize(static_cast<std::size_t>(rows));
  }

  QuantizeArgs quantize(int64_t group) {
    const QuantizedRow row = quantized_row(width, group);
    return {x.data(), width, 0, rows, width, row.width_padded, group, quantized.data(), row.bytes, row.scales_offset,
            row.sums_offset};
  }
  AttentionMergeArgs merge() {
    const int64_t heads = width / kHeadDim;
    return {partials.data(), kSpans, rows * heads * partial_floats(), rows, heads, kHeadDim, nullptr, y.data(), width};
  }
  ActivateArgs activate(Activation activation) {
    return {x.data(), width, 0, rows, width, activation, y.data(), width};
  }
};

// What is measured: a slot, in the floats of a row that it reads and writes, as multiples of the width.
struct Case {
  const char* name;
  double floats;
  void (*run)(const KernelTable&, Rows&);
};

constexpr Case kCases[] = {
    {"embed", 1.5,
     [](const KernelTable& k, Rows& r) {
       k.embed({r.tokens.data(), 0, r.rows, r.table.data(), TableType::bf16, r.width, r.y.data(), r.width});
     }},
    {"rms_norm", 2,
     [](const KernelTable& k, Rows& r) {
       k.rms_norm({r.x.data(), r.width, 0, r.rows, r.weight.data(), r.width, 1e-5f, r.y.data(), r.width});
     }},
    {"layer_norm", 2,
     [](const KernelTable& k, Rows& r) {
       const float* const weight = r.weight.data();
       k.layer_norm({r.x.data(), r.width, 0, r.rows, weight, weight, r.width, 1e-5f, r.y.data(), r.width});
     }},
    {"quantize", 1.25, [](const KernelTable& k, Rows& r) { k.quantize(r.quantize(0)); }},
    {"quantize_32", 1.25, [](const KernelTable& k, Rows& r) { k.quantize(r.quantize(32)); }},
    {"quantize_64", 1.25, [](const KernelTable& k, Rows& r) { k.quantize(r.quantize(64)); }},
    {"gated_silu", 3,
     [](const KernelTable& k, Rows& r) {
       k.gated({r.x.data(), 2 * r.width, 0, r.rows, r.width, Gate::silu, r.y.data(), r.width});
     }},
    {"gated_gelu", 3,
     [](const KernelTable& k, Rows& r) {
       k.gated({r.x.data(), 2 * r.width, 0, r.rows, r.width, Gate::gelu_tanh, r.y.data(), r.width});
     }},
    {"silu", 2, [](const KernelTable& k, Rows& r) { k.activate(r.activate(Activation::silu)); }},
    {"gelu", 2, [](const KernelTable& k, Rows& r) { k.activate(r.activate(Activation::gelu)); }},
    {"tanh", 2, [](const KernelTable& k, Rows& r) { k.activate(r.activate(Activation::tanh)); }},
    {"relu", 2, [](const KernelTable& k, Rows& r) { k.activate(r.activate(Activation::relu)); }},
    {"add", 3,
     [](const KernelTable& k, Rows& r) { k.add({r.x.data(), r.width, 0, r.rows, r.width, r.y.data(), r.width}); }},
    {"argmax", 1,
     [](const KernelTable& k, Rows& r) {
       k.argmax({r.x.data(), r.width, 0, r.rows, 0, r.width, r.choices.data()});
     }},
    {"attention_merge", 3, [](const KernelTable& k, Rows& r) { k.attention_merge(r.merge()); }},
};

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Median seconds of one call. Calls are measured in tens: one alone is near the resolution of the clock.
double seconds_of(const KernelTable& table, const Case& one, Rows& rows, double budget) {
  constexpr int kCalls = 10;
  std::vector<double> times;
  double spent = 0;
  while (spent < budget || times.size() < 5) {
    const double start = thread_seconds();
    for (int i = 0; i < kCalls; ++i) one.run(table, rows);
    const double elapsed = thread_seconds() - start;
    times.push_back(elapsed / kCalls);
    spent += elapsed;
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

void run(const Options& options) {
  const KernelTable table = select_kernels(options.isa);
  std::printf("%s, one thread\n%-16s %6s %5s  %10s  %7s\n", table.isa, "slot", "width", "rows", "us", "GB/s");
  bool known = false;
  for (const Case& one : kCases) {
    if (!options.slot.empty() && options.slot != one.name) continue;
    known = true;
    for (const int64_t width : {576, 1536, 2048}) {
      for (const int64_t rows : {1, 64}) {
        if ((options.width != 0 && options.width != width) || (options.rows != 0 && options.rows != rows)) continue;
        Rows operands(rows, width);
        const double seconds = seconds_of(table, one, operands, options.seconds);
        const double bytes = one.floats * static_cast<double>(rows * width) * 4;
        std::printf("%-16s %6lld %5lld  %10.3f  %7.2f\n", one.name, static_cast<long long>(width),
                    static_cast<long long>(rows), seconds * 1e6, bytes / seconds * 1e-9);
        std::fflush(stdout);
      }
    }
  }
  if (!known) throw std::invalid_argument("--slot = " + options.slot + " is none that this lab knows");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rows_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
