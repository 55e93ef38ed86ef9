// The contract of the four matmul slots: shapes with tails, every mode, extreme operands, partial ranges.
#pragma once

#include <cstdint>
#include <iterator>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"
#include "tests/contract/packed.h"

namespace honed::contract {

// From 1600 on the largest integers sum to more than a float holds exactly; the deepest is more than kernels keep a
// copy of.
inline constexpr int64_t kDepths[] = {1, 31, 32, 33, 63, 64, 65, 576, 896, 1600, 4200};
inline constexpr int64_t kColumns[] = {1, 15, 16, 17, 31, 33, 100};
inline constexpr int64_t kRows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 50, 64, 81};
inline constexpr Epilogue kEpilogues[] = {Epilogue::store, Epilogue::add, Epilogue::gated_silu,
                                          Epilogue::gated_gelu_tanh, Epilogue::gated_gelu,
                                          Epilogue::gated_clamped_silu};
inline constexpr int kFirstGated = static_cast<int>(Epilogue::gated_silu);

inline bool is_gated(Epilogue epilogue) {
  return static_cast<int>(epilogue) >= kFirstGated;
}

// The shape of one case. Drawn so that over a run every depth, width and row count meets every mode.
struct Shape {
  int64_t k, columns, rows, panels;
  int64_t row_begin, row_end, panel_begin, panel_end;
  Epilogue epilogue;
  bool bias;
  Values values;
  bool extreme;  // integer operands of the largest magnitude
  float factor;  // of the epilogue add
};

inline Shape draw_shape(Random& random, int64_t sequence, Epilogue epilogue) {
  Shape shape{};
  shape.k = kDepths[sequence % 11];
  shape.columns = kColumns[(sequence + sequence / 11) % 7];
  shape.rows = kRows[random.between(0, std::size(kRows) - 1)];
  shape.epilogue = epilogue;
  const int64_t per_panel = is_gated(epilogue) ? 16 : 32;
  shape.panels = (shape.columns + per_panel - 1) / per_panel;
  shape.row_end = shape.rows;
  shape.panel_end = shape.panels;
  if (random.chance(3)) {
    shape.row_begin = random.between(0, shape.rows - 1);
    shape.row_end = random.between(shape.row_begin, shape.rows);
    shape.panel_begin = random.between(0, shape.panels - 1);
    shape.panel_end = random.between(shape.panel_begin + 1, shape.panels);
  }
  shape.bias = random.chance(2);
  shape.values = random.chance(2) ? Values::ordinary : kAllValues[random.between(0, 4)];
  shape.extreme = random.chance(4);
  shape.factor = epilogue == Epilogue::add && sequence % 2 == 1 ? 0.22f : 1.0f;
  return shape;
}

// One linear result in float, in the contract's order, and in double with the magnitude that its error is measured
// against.
struct Linear {
  float value = 0.0f;
  double exact = 0.0;
  double magnitude = 0.0;

  void add_term(double term) {
    exact += term;
    magnitude += std::fabs(term);
  }
};

// Runs `kernel` on the case and compares the whole output with what `linear(row, packed column)` implies.
template <typename LinearOf>
void run_matmul(Check& check, void (*kernel)(const MatmulArgs&), MatmulArgs args, const Shape& shape, Random& random,
                int64_t steps, const LinearOf& linear) {
  Guarded<float> bias(shape.panels * 32);
  random.fill(bias, shape.values);
  const int64_t stride = shape.columns + random.between(0, 5);
  Guarded<float> y((shape.rows - 1) * stride + shape.columns);
  if (shape.epilogue == Epilogue::add) {
    random.fill(y, shape.values);
  } else {
    fill(y, canary());
  }
  args.row_begin = shape.row_begin;
  args.row_end = shape.row_end;
  args.panel_begin = shape.panel_begin;
  args.panel_end = shape.panel_end;
  args.columns = shape.columns;
  args.bias = shape.bias ? bias.data() : nullptr;
  args.epilogue = shape.epilogue;
  args.factor = shape.factor;
  args.y = y.data();
  args.y_stride = stride;

  std::vector<float> want = y.image();
  const auto result = [&](int64_t row, int64_t column) {
    const Linear sum = linear(row, column);
    check.close("linear result", sum.value, sum.exact, sum.magnitude, steps);
    return shape.bias ? sum.value + bias[column] : sum.value;
  };
  for (int64_t row = shape.row_begin; row < shape.row_end; ++row) {
    for (int64_t panel = shape.panel_begin; panel < shape.panel_end; ++panel) {
      const int64_t width = is_gated(shape.epilogue) ? 16 : 32;
      for (int64_t c = 0; c < width && panel * width + c < shape.columns; ++c) {
        float& place = want[static_cast<std::size_t>(row * stride + panel * width + c)];
        const float value = result(row, panel * 32 + c);
        if (shape.epilogue == Epilogue::store) place = value;
        if (shape.epilogue == Epilogue::add) place = place + value * shape.factor;
        if (is_gated(shape.epilogue)) {
          const auto gate = static_cast<Gate>(static_cast<int>(shape.epilogue) - kFirstGated);
          place = oracle_gate(gate, value, result(row, panel * 32 + 16 + c));
        }
      }
    }
  }
  kernel(args);
  check.same("y", y, want, stride);
}

inline bool begin_matmul(Check& check, const Shape& shape, const char* mode) {
  constexpr const char* kNames[] = {"store",           "add",        "gated_silu",
                                    "gated_gelu_tanh", "gated_gelu", "gated_clamped_silu"};
  return check.begin("k %lld columns %lld rows [%lld, %lld) of %lld panels [%lld, %lld) %s%s, %s, %s values%s",
                     static_cast<long long>(shape.k), static_cast<long long>(shape.columns),
                     static_cast<long long>(shape.row_begin), static_cast<long long>(shape.row_end),
                     static_cast<long long>(shape.rows), static_cast<long long>(shape.panel_begin),
                     static_cast<long long>(shape.panel_end), kNames[static_cast<int>(shape.epilogue)],
                     shape.bias ? " with bias" : "", mode, name_of(shape.values),
                     shape.extreme ? ", largest integers" : "");
}

// ---- float weights -------------------------------------------------------------------------------------------

template <typename Weight, typename Widen>
void test_float_matmul(Check& check, void (*kernel)(const MatmulArgs&), uint64_t seed, const Widen& widen) {
  int64_t sequence = 0;
  for (const Epilogue epilogue : kEpilogues) {
    for (int repeat = 0; repeat < 22; ++repeat) {
      Random random(seed + static_cast<uint64_t>(sequence));
      const Shape shape = draw_shape(random, sequence++, epilogue);
      if (!begin_matmul(check, shape, "dense")) continue;
      Guarded<Weight> panels(shape.panels * shape.k * 32);
      for (int64_t i = 0; i < panels.size(); ++i) {
        const float value = random.value(shape.values);
        if constexpr (sizeof(Weight) == 4) {
          panels[i] = value;
        } else {
          panels[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
        }
      }
      const int64_t stride = shape.k + random.between(0, 3);
      Guarded<float> x((shape.rows - 1) * stride + shape.k);
      random.fill(x, shape.values);
      MatmulArgs args{};
      args.x = x.data();
      args.x_row_bytes = stride * 4;
      args.panels = panels.data();
      args.panel_bytes = shape.k * 32 * static_cast<int64_t>(sizeof(Weight));
      args.k = args.k_padded = shape.k;
      run_matmul(check, kernel, args, shape, random, shape.k, [&](int64_t row, int64_t column) {
        Linear sum;
        for (int64_t k = 0; k < shape.k; ++k) {
          const float w = widen(panels[(column / 32 * shape.k + k) * 32 + column % 32]);
          sum.value = std::fmaf(x[row * stride + k], w, sum.value);
          sum.add_term(static_cast<double>(x[row * stride + k]) * static_cast<double>(w));
        }
        return sum;
      });
    }
  }
}

inline void test_matmul_f32(Check& check, const KernelTable& table) {
  test_float_matmul<float>(check, table.matmul_f32, 100, [](float value) { return value; });
}

inline void test_matmul_bf16(Check& check, const KernelTable& table) {
  test_float_matmul<uint16_t>(check, table.matmul_bf16, 200, oracle_bf16);
}

// ---- integer weights -----------------------------------------------------------------------------------------

// sum over [begin, end) of q * (code - zero), in 64 bits.
inline int64_t exact_dot(const Activations& x, const Codes& w, int64_t row, int64_t column, int64_t begin, int64_t end,
                         int zero) {
  int64_t dot = 0;
  for (int64_t k = begin; k < end; ++k) dot += static_cast<int64_t>(x.at(row, k)) * (w.at(column, k) - zero);
  return dot;
}

inline Linear column_scaled(const Activations& x, const Codes& w, float column_scale, int64_t row, int64_t column) {
  Linear sum;
  const double scale = static_cast<double>(column_scale);
  if (x.group == 0) {
    const int64_t dot = exact_dot(x, w, row, column, 0, w.k_padded, 0);
    sum.value = (static_cast<float>(dot) * x.scale(row, 0)) * column_scale;
    sum.add_term(static_cast<double>(dot) * static_cast<double>(x.scale(row, 0)) * scale);
    return sum;
  }
  for (int64_t begin = 0; begin < w.k_padded; begin += x.group) {
    const float group_scale = x.scale(row, begin / x.group);
    const int64_t dot = exact_dot(x, w, row, column, begin, std::min(begin + x.group, w.k_padded), 0);
    sum.value = std::fmaf(static_cast<float>(dot), group_scale, sum.value);
    sum.add_term(static_cast<double>(dot) * static_cast<double>(group_scale) * scale);
  }
  sum.value = sum.value * column_scale;
  return sum;
}

// Weights in groups; `zero` gives what is subtracted from a code, and the minimum is there for int4 alone.
inline Linear group_scaled(const Activations& x, const Codes& w, bool int4, int64_t row, int64_t column) {
  Linear sum;
  for (int64_t g = 0; g < w.groups(); ++g) {
    const std::size_t i = w.group_index(column, g);
    int zero = 0;
    if (int4 && w.offset == Int4Offset::symmetric) zero = 8;
    if (int4 && w.offset == Int4Offset::zero_point) zero = w.zeros[i];
    const int64_t dot = exact_dot(x, w, row, column, g * w.group, (g + 1) * w.group, zero);
    int64_t total = 0;
    for (int64_t k = g * w.group; k < (g + 1) * w.group; ++k) total += x.at(row, k);
    const float scale = oracle_f16(w.scales[i]);
    const float minimum = int4 && w.offset == Int4Offset::minimum ? oracle_f16(w.minimums[i]) : 0.0f;
    const bool has_minimum = int4 && w.offset == Int4Offset::minimum;
    const float x_scale = x.group == 0 ? x.scale(row, 0) : x.scale(row, g);
    const auto scaled = [&](int64_t value) {
      return x.group == 0 ? static_cast<float>(value) : static_cast<float>(value) * x_scale;
    };
    sum.value = std::fmaf(scaled(dot), scale, sum.value);
    if (has_minimum) sum.value = std::fmaf(scaled(total), minimum, sum.value);
    sum.add_term(static_cast<double>(dot) * static_cast<double>(scale) * static_cast<double>(x_scale));
    sum.add_term(static_cast<double>(total) * static_cast<double>(minimum) * static_cast<double>(x_scale));
  }
  if (x.group == 0) sum.value = sum.value * x.scale(row, 0);
  return sum;
}

struct IntegerMode {
  bool int4;
  int64_t group;
  int64_t activation_group;
  Int4Offset offset;
  const char* name;
};

inline void run_integer(Check& check, void (*kernel)(const MatmulArgs&), const Shape& shape, const IntegerMode& mode,
                        Random& random) {
  const int64_t depth = mode.group == 0 ? 64 : mode.group;
  const int64_t k_padded = round_up(shape.k, depth);
  const int low = mode.int4 ? 0 : -128;
  const int high = mode.int4 ? 15 : 127;
  const Codes w = random_codes(random, shape.panels * 32, k_padded, mode.group, mode.offset, low, high, shape.extreme);
  const int64_t x_padded = round_up(k_padded, std::max<int64_t>(mode.activation_group, 32));
  const Activations x =
      random_activations(random, shape.rows, shape.k, x_padded, mode.activation_group, shape.values, shape.extreme);
  const std::vector<uint8_t> packed = mode.int4 ? pack_int4(w) : pack_int8(w);
  Guarded<uint8_t> panels(static_cast<int64_t>(packed.size()));
  std::copy(packed.begin(), packed.end(), panels.data());
  Guarded<uint8_t> rows(static_cast<int64_t>(x.bytes.size()));
  std::copy(x.bytes.begin(), x.bytes.end(), rows.data());
  Guarded<float> column_scales(shape.panels * 32);
  random.fill(column_scales, shape.values);
  MatmulArgs args{};
  args.x = rows.data();
  args.x_row_bytes = x.row_bytes;
  args.scales_offset = x.scales_offset;
  args.sums_offset = x.sums_offset;
  args.panels = panels.data();
  args.panel_bytes = panels.size() / shape.panels;
  args.k = shape.k;
  args.k_padded = k_padded;
  args.column_scales = mode.group == 0 ? column_scales.data() : nullptr;
  args.group = mode.group;
  args.activation_group = mode.activation_group;
  args.offset = mode.offset;
  run_matmul(check, kernel, args, shape, random, 2 * w.groups(), [&](int64_t row, int64_t column) {
    if (mode.group == 0) return column_scaled(x, w, column_scales[column], row, column);
    return group_scaled(x, w, mode.int4, row, column);
  });
}

inline void test_integer_matmul(Check& check, void (*kernel)(const MatmulArgs&), uint64_t seed,
                                const std::vector<IntegerMode>& modes, int repeats) {
  int64_t sequence = 0;
  for (const IntegerMode& mode : modes) {
    for (const Epilogue epilogue : kEpilogues) {
      for (int repeat = 0; repeat < repeats; ++repeat) {
        Random random(seed + static_cast<uint64_t>(sequence));
        const Shape shape = draw_shape(random, sequence++, epilogue);
        if (begin_matmul(check, shape, mode.name)) run_integer(check, kernel, shape, mode, random);
      }
    }
  }
}

inline void test_matmul_int8(Check& check, const KernelTable& table) {
  const std::vector<IntegerMode> modes = {
      {false, 0, 0, Int4Offset::symmetric, "scale a column"},
      {false, 0, 32, Int4Offset::symmetric, "scale a column, activation groups of 32"},
      {false, 0, 64, Int4Offset::symmetric, "scale a column, activation groups of 64"},
      {false, 0, 128, Int4Offset::symmetric, "scale a column, activation groups of 128"},
      {false, 32, 0, Int4Offset::symmetric, "groups of 32"},
      {false, 64, 0, Int4Offset::symmetric, "groups of 64"},
      {false, 128, 0, Int4Offset::symmetric, "groups of 128"},
      {false, 32, 32, Int4Offset::symmetric, "groups of 32, activations too"},
      {false, 64, 64, Int4Offset::symmetric, "groups of 64, activations too"},
      {false, 128, 128, Int4Offset::symmetric, "groups of 128, activations too"},
  };
  test_integer_matmul(check, table.matmul_int8, 300, modes, 11);
}

inline void test_matmul_int4(Check& check, const KernelTable& table) {
  std::vector<IntegerMode> modes;
  for (const int64_t group : {32, 64, 128}) {
    for (const int64_t activation_group : {int64_t{0}, group}) {
      modes.push_back({true, group, activation_group, Int4Offset::symmetric, "int4 symmetric"});
      modes.push_back({true, group, activation_group, Int4Offset::zero_point, "int4 zero points"});
      modes.push_back({true, group, activation_group, Int4Offset::minimum, "int4 minimums"});
    }
  }
  test_integer_matmul(check, table.matmul_int4, 900, modes, 9);
}

// Indices of sixteen int8 values: packed as int4, multiplied as int8.
inline void test_matmul_codebook(Check& check, const KernelTable& table) {
  int64_t sequence = 0;
  for (const int64_t group : {32, 64, 128}) {
    for (const int64_t activation_group : {int64_t{0}, group}) {
      for (const Epilogue epilogue : kEpilogues) {
        for (int repeat = 0; repeat < 9; ++repeat) {
          Random random(1700 + static_cast<uint64_t>(sequence));
          const Shape shape = draw_shape(random, sequence++, epilogue);
          if (!begin_matmul(check, shape, activation_group == 0 ? "codebook" : "codebook, activation groups")) continue;
          Guarded<int8_t> codebook(16);
          for (int64_t i = 0; i < 16; ++i) {
            codebook[i] = static_cast<int8_t>(shape.extreme ? (random.chance(2) ? -128 : 127) : random.between(-128, 127));
          }
          const int64_t k_padded = round_up(shape.k, group);
          const Codes indices = random_codes(random, shape.panels * 32, k_padded, group, Int4Offset::symmetric, 0, 15, false);
          Codes w = indices;
          for (int& code : w.code) code = codebook[code];
          const Activations x = random_activations(random, shape.rows, shape.k, k_padded, activation_group, shape.values,
                                                   shape.extreme);
          const std::vector<uint8_t> packed = pack_int4(indices);
          Guarded<uint8_t> panels(static_cast<int64_t>(packed.size()));
          std::copy(packed.begin(), packed.end(), panels.data());
          Guarded<uint8_t> rows(static_cast<int64_t>(x.bytes.size()));
          std::copy(x.bytes.begin(), x.bytes.end(), rows.data());
          MatmulArgs args{};
          args.x = rows.data();
          args.x_row_bytes = x.row_bytes;
          args.scales_offset = x.scales_offset;
          args.sums_offset = x.sums_offset;
          args.panels = panels.data();
          args.panel_bytes = panels.size() / shape.panels;
          args.k = shape.k;
          args.k_padded = k_padded;
          args.group = group;
          args.activation_group = activation_group;
          args.codebook = codebook.data();
          run_matmul(check, table.matmul_codebook, args, shape, random, 2 * w.groups(),
                     [&](int64_t row, int64_t column) { return group_scaled(x, w, false, row, column); });
        }
      }
    }
  }
}

}  // namespace honed::contract
