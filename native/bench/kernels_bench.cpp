// A lab for single matmul kernels: each encoding over the matrices of a known model, for few and many rows, on one
// thread, beside the memory and integer limits that the same run measures. Whole models are timed elsewhere.
//
//   kernels_bench [--isa NAME] [--model NAME|all] [--mode NAME] [--shape NAME] [--rows N] [--seconds S]
//                [--stream-mib N]
//
// Weights of few rows come from copies that together exceed every cache, as they do when a whole model streams by;
// --stream-mib 0 leaves one copy, which shows the kernel without the memory.
// Times are medians of CPU time of the thread: other processes cost little, and neither does a moment of boost.
// Super-blocks are 256 deep, so their matrices are rounded up (576 to 768).
// The integer peak is that of int8; int4 passes it where one widening step serves several products.
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
#include "bench/shapes.h"
#include "plan/plan.h"

namespace {

using namespace honed;
using honed::bench::ModelShapes;
using honed::bench::Shape;

constexpr int64_t kMib = int64_t{1} << 20;
constexpr int64_t kFewRows = 16;
constexpr uint16_t kHalfOfOne = 0x2c00;  // 1/16 as binary16
constexpr int8_t kCodebook[16] = {-127, -88, -67, -50, -36, -23, -12, 0, 10, 20, 31, 43, 56, 71, 92, 127};
constexpr uint16_t kSmallBf16 = 0x3c00;  // 1/128 as bfloat16

struct Mode {
  const char* name;
  void (*KernelTable::*slot)(const MatmulArgs&);
  WeightKind kind;
  int64_t group;
  int64_t activation_group;
  Int4Offset offset;
  BlockForm form = BlockForm::q4_k;
};

constexpr Mode kModes[] = {
    {"f32", &KernelTable::matmul_f32, WeightKind::dense_f32, 0, 0, Int4Offset::symmetric},
    {"bf16", &KernelTable::matmul_bf16, WeightKind::dense_bf16, 0, 0, Int4Offset::symmetric},
    {"int8", &KernelTable::matmul_int8, WeightKind::int8, 0, 0, Int4Offset::symmetric},
    {"int8_a32", &KernelTable::matmul_int8, WeightKind::int8, 0, 32, Int4Offset::symmetric},
    {"int8_w32_a32", &KernelTable::matmul_int8, WeightKind::int8, 32, 32, Int4Offset::symmetric},
    {"int8_w64_a64", &KernelTable::matmul_int8, WeightKind::int8, 64, 64, Int4Offset::symmetric},
    {"int4_w32_a32", &KernelTable::matmul_int4, WeightKind::int4, 32, 32, Int4Offset::symmetric},
    {"int4_w32_a32_zero", &KernelTable::matmul_int4, WeightKind::int4, 32, 32, Int4Offset::zero_point},
    {"int4_w32_a32_minimum", &KernelTable::matmul_int4, WeightKind::int4, 32, 32, Int4Offset::minimum},
    {"int4_w128_a128", &KernelTable::matmul_int4, WeightKind::int4, 128, 128, Int4Offset::symmetric},
    {"codebook_w32_a32", &KernelTable::matmul_codebook, WeightKind::codebook, 32, 32, Int4Offset::symmetric},
    {"codebook_w128_a128", &KernelTable::matmul_codebook, WeightKind::codebook, 128, 128, Int4Offset::symmetric},
    {"q4_k", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q4_k},
    {"q5_k", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q5_k},
    {"q5_1", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q5_1},
    {"q6_k", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q6_k},
    {"q2_k", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q2_k},
    {"q3_k", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::q3_k},
    {"iq4_xs", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::iq4_xs},
    {"iq2_xs", &KernelTable::matmul_blocks, WeightKind::blocks, 32, 32, Int4Offset::symmetric, BlockForm::iq2_xs},
};

struct Options {
  std::string isa, mode, shape;
  std::string model = "smollm2-135m";
  int64_t rows = 0;
  int64_t stream_bytes = 64 * kMib;
  double seconds = 0.2;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(flag + " needs a value");
    const std::string value = argv[i + 1];
    if (flag == "--isa") options.isa = value;
    else if (flag == "--model") options.model = value;
    else if (flag == "--mode") options.mode = value;
    else if (flag == "--shape") options.shape = value;
    else if (flag == "--rows") options.rows = std::atoll(value.c_str());
    else if (flag == "--seconds") options.seconds = std::atof(value.c_str());
    else if (flag == "--stream-mib") options.stream_bytes = std::atoll(value.c_str()) * kMib;
    else throw std::invalid_argument(flag + " is none of --isa, --model, --mode, --shape, --rows, --seconds, --stream-mib");
  }
  return options;
}

bool is_quantized(const Mode& mode) {
  return mode.kind != WeightKind::dense_f32 && mode.kind != WeightKind::dense_bf16;
}

// Bytes of codes and of all bytes of one group of a panel (of the whole panel where there are no groups).
struct GroupBytes {
  int64_t codes;
  int64_t all;
};

GroupBytes group_bytes(const Mode& mode, int64_t k) {
  if (mode.kind == WeightKind::dense_f32) return {k * kPanelColumns * 4, k * kPanelColumns * 4};
  if (mode.kind == WeightKind::dense_bf16) return {k * kPanelColumns * 2, k * kPanelColumns * 2};
  if (mode.kind == WeightKind::int8 && mode.group == 0) return {k * kPanelColumns, k * kPanelColumns};
  const int64_t codes = mode.group * kPanelColumns / (mode.kind == WeightKind::int8 ? 1 : 2);
  int64_t offset = 0;
  if (mode.offset == Int4Offset::zero_point) offset = kPanelColumns;
  if (mode.offset == Int4Offset::minimum) offset = kPanelColumns * 2;
  return {codes, codes + kPanelColumns * 2 + offset};
}

const BlockShape& block_shape(const Mode& mode) { return kBlockShapes[static_cast<int>(mode.form)]; }

// The shape with a depth of whole super-blocks.
Shape padded(const Mode& mode, Shape shape) {
  if (mode.kind == WeightKind::blocks) {
    const int64_t depth = block_shape(mode).depth;
    shape.k = (shape.k + depth - 1) / depth * depth;
  }
  return shape;
}

// k up to whole groups or blocks.
int64_t padded_depth(const Mode& mode, int64_t k) {
  const int64_t unit = mode.kind == WeightKind::blocks ? block_shape(mode).depth : std::max<int64_t>(1, mode.group);
  return (k + unit - 1) / unit * unit;
}

int64_t panel_bytes(const Mode& mode, int64_t k) {
  if (mode.kind == WeightKind::blocks) {
    const BlockShape& shape = block_shape(mode);
    return padded_depth(mode, k) / shape.depth * (shape.head_bytes + shape.depth / kBlock * (shape.code_bytes + shape.level_bytes));
  }
  return (mode.group == 0 ? 1 : padded_depth(mode, k) / mode.group) * group_bytes(mode, k).all;
}

// Codes of every value, levels of 1, factors of ordinary size.
void fill_blocks(const BlockShape& shape, std::byte* panels, int64_t bytes) {
  uint32_t state = 1;
  while (bytes > 0) {
    for (int64_t i = 0; i < shape.head_bytes; i += 2) std::memcpy(panels + i, &kHalfOfOne, sizeof kHalfOfOne);
    std::byte* place = panels + shape.head_bytes;
    for (int64_t k = 0; k < shape.depth; k += kBlock) {
      for (int64_t i = 0; i < shape.code_bytes; ++i) {
        state = state * 1664525u + 1013904223u;
        place[i] = static_cast<std::byte>(state >> 24 & static_cast<uint32_t>(shape.largest == 15 ? 255 : shape.largest));
      }
      std::memset(place + shape.code_bytes, 1, static_cast<std::size_t>(shape.level_bytes));
      place += shape.code_bytes + shape.level_bytes;
    }
    bytes -= place - panels;
    panels = place;
  }
}

// Fills one packed matrix with codes of every value and scales of ordinary size.
void fill_panels(const Mode& mode, const GroupBytes& group, std::byte* panels, int64_t bytes) {
  uint32_t state = 1;
  for (int64_t begin = 0; begin < bytes; begin += group.all) {
    std::byte* place = panels + begin;
    for (int64_t i = 0; i < group.codes; ++i) {
      state = state * 1664525u + 1013904223u;
      const auto code = static_cast<uint8_t>(state >> 24);
      place[i] = static_cast<std::byte>(mode.kind == WeightKind::int8 && code == 128 ? 0 : code);
    }
    for (int64_t i = 0; i < group.codes && mode.kind == WeightKind::dense_bf16; i += 2) {
      std::memcpy(place + i, &kSmallBf16, sizeof kSmallBf16);
    }
    for (int64_t i = 0; i < group.codes && mode.kind == WeightKind::dense_f32; i += 4) {
      const float value = static_cast<float>(i % 64) * 0x1p-9f;
      std::memcpy(place + i, &value, sizeof value);
    }
    for (int64_t i = group.codes; i + 1 < group.all; i += 2) {
      std::memcpy(place + i, &kHalfOfOne, sizeof kHalfOfOne);
    }
  }
}

// One matrix, its activations and results, ready to be multiplied again and again.
struct Case {
  MatmulArgs args{};
  int64_t matrix_bytes = 0;
  int64_t copies = 1;
  AlignedBuffer panels, x, y;
  std::vector<float> column_scales;
};

Case make_case(const Mode& mode, const Shape& shape, int64_t rows, int64_t stream_bytes) {
  Case one;
  const int64_t panel_count = shape.packed_columns / kPanelColumns;
  const QuantizedRow row = quantized_row(shape.k, mode.activation_group);
  one.matrix_bytes = panel_count * panel_bytes(mode, shape.k);
  one.copies = rows <= kFewRows ? std::max<int64_t>(1, stream_bytes / one.matrix_bytes) : 1;
  one.panels = AlignedBuffer(static_cast<std::size_t>(one.matrix_bytes * one.copies));
  if (mode.kind == WeightKind::blocks) {
    fill_blocks(block_shape(mode), one.panels.data(), one.matrix_bytes);
  } else {
    fill_panels(mode, group_bytes(mode, shape.k), one.panels.data(), one.matrix_bytes);
  }
  for (int64_t i = 1; i < one.copies; ++i) {
    std::byte* copy = one.panels.data() + i * one.matrix_bytes;
    std::memcpy(copy, one.panels.data(), static_cast<std::size_t>(one.matrix_bytes));
  }
  MatmulArgs& args = one.args;
  args.x_row_bytes = is_quantized(mode) ? row.bytes : shape.k * 4;
  args.scales_offset = row.scales_offset;
  args.sums_offset = row.sums_offset;
  args.row_end = rows;
  args.panel_bytes = panel_bytes(mode, shape.k);
  args.panel_end = panel_count;
  args.k = shape.k;
  args.k_padded = padded_depth(mode, shape.k);
  args.columns = shape.epilogue == Epilogue::gated_silu ? shape.packed_columns / 2 : shape.packed_columns;
  args.codebook = kCodebook;
  args.group = mode.group;
  args.activation_group = mode.activation_group;
  args.offset = mode.offset;
  args.block_form = mode.form;
  args.epilogue = shape.epilogue;
  args.y_stride = args.columns;
  one.column_scales.assign(static_cast<std::size_t>(shape.packed_columns), 0.0625f);
  args.column_scales = one.column_scales.data();
  one.x = AlignedBuffer(static_cast<std::size_t>(rows * args.x_row_bytes));
  one.y = AlignedBuffer(static_cast<std::size_t>(rows * args.y_stride * 4));
  args.x = one.x.data();
  args.y = reinterpret_cast<float*>(one.y.data());
  return one;
}

void fill_activations(const KernelTable& table, const Mode& mode, const Shape& shape, int64_t rows, Case& one) {
  std::vector<float> values(static_cast<std::size_t>(rows * shape.k));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7919 % 509) / 254.0f - 1.0f;
  if (!is_quantized(mode)) {
    std::memcpy(one.x.data(), values.data(), values.size() * sizeof(float));
    return;
  }
  const int64_t padded = quantized_row(shape.k, mode.activation_group).width_padded;
  table.quantize({values.data(), shape.k, 0, rows, shape.k, padded, mode.activation_group, one.x.data(),
                  one.args.x_row_bytes, one.args.scales_offset, one.args.sums_offset});
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

// Median seconds of one multiplication, over repetitions that fill the time given.
double seconds_of(const KernelTable& table, const Mode& mode, Case& one, double budget) {
  std::vector<double> times;
  double spent = 0;
  for (int64_t i = 0; spent < budget || times.size() < 5; ++i) {
    one.args.panels = one.panels.data() + i % one.copies * one.matrix_bytes;
    const double start = thread_seconds();
    (table.*mode.slot)(one.args);
    times.push_back(thread_seconds() - start);
    spent += times.back();
  }
  return median(times);
}

struct Limits {
  double bytes;     // a second
  double products;  // multiply-adds a second
};

Limits measure_limits(const KernelTable& table) {
  AlignedBuffer memory(static_cast<std::size_t>(128 * kMib));
  std::memset(memory.data(), 1, memory.size());
  std::vector<double> reading;
  std::vector<double> multiplying;
  int64_t products = 0;
  for (int i = 0; i < 21; ++i) {
    double start = thread_seconds();
    volatile uint64_t sink = table.read_memory(memory.data(), static_cast<int64_t>(memory.size()));
    static_cast<void>(sink);
    reading.push_back(thread_seconds() - start);
    start = thread_seconds();
    products = table.integer_peak(50000);
    multiplying.push_back(thread_seconds() - start);
  }
  return {static_cast<double>(memory.size()) / median(reading), static_cast<double>(products) / median(multiplying)};
}

void run_case(const KernelTable& table, const Mode& mode, const Shape& shape, int64_t rows, const Options& options,
              const Limits& limits) {
  Case one = make_case(mode, shape, rows, options.stream_bytes);
  fill_activations(table, mode, shape, rows, one);
  const double seconds = seconds_of(table, mode, one, options.seconds);
  const double bytes = static_cast<double>(one.matrix_bytes) / seconds;
  const double products = static_cast<double>(shape.k * shape.packed_columns * rows) / seconds;
  std::printf("%-21s %-8s %4lld  %10.1f  %6.2f %4.0f%%  %7.2f %4.0f%%\n", mode.name, shape.name,
              static_cast<long long>(rows), seconds * 1e6, bytes * 1e-9, 100 * bytes / limits.bytes,
              2e-9 * products, 100 * products / limits.products);
  std::fflush(stdout);
}

// An argument that names nothing would otherwise print nothing.
template <typename Named, std::size_t Count>
void require_known(const char* flag, const std::string& value, const Named (&known)[Count]) {
  std::string names;
  for (const Named& one : known) {
    if (value.empty() || value == "all" || value == one.name) return;
    names += std::string(names.empty() ? "" : ", ") + one.name;
  }
  throw std::invalid_argument(std::string(flag) + " = " + value + ": must be one of " + names);
}

void run_model(const KernelTable& table, const ModelShapes& model, const Options& options, const Limits& limits) {
  for (const Mode& mode : kModes) {
    for (const Shape& shape : model.matrices) {
      for (const int64_t rows : {1, 4, 6, 8, 12, 16, 512}) {
        if (!options.mode.empty() && options.mode != mode.name) continue;
        if (!options.shape.empty() && options.shape != shape.name) continue;
        if (options.rows != 0 && options.rows != rows) continue;
        if (rows == 512 && options.shape.empty() && std::strcmp(shape.name, "head") == 0) continue;
        run_case(table, mode, padded(mode, shape), rows, options, limits);
      }
    }
  }
}

void run(const Options& options) {
  require_known("--model", options.model, bench::kModels);
  require_known("--mode", options.mode, kModes);
  require_known("--shape", options.shape, bench::kModels[0].matrices);
  const KernelTable table = select_kernels(options.isa);
  const Limits limits = measure_limits(table);
  std::printf("%s, one thread: memory %.2f GB/s, integer peak %.2f GOP/s\n", table.isa, limits.bytes * 1e-9,
              2e-9 * limits.products);
  std::printf("%-21s %-8s %4s  %10s  %6s %5s  %7s %5s\n", "mode", "shape", "rows", "us", "GB/s", "", "GOP/s", "");
  for (const ModelShapes& model : bench::kModels) {
    if (options.model != "all" && options.model != model.name) continue;
    std::printf("%s\n", model.name);
    run_model(table, model, options, limits);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernels_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
