// The contract of activations: of whole rows, and of gates.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/rows.h"

namespace honed::contract {

inline constexpr Activation kActivations[] = {Activation::silu, Activation::gelu_tanh, Activation::gelu,
                                              Activation::tanh, Activation::relu};

inline const char* name_of(Activation activation) {
  constexpr const char* kNames[] = {"silu", "gelu_tanh", "gelu", "tanh", "relu"};
  return kNames[static_cast<int>(activation)];
}

inline double exact_activation(Activation activation, double g) {
  const double t = 0.7978845608028654 * (g + 0.044715 * g * g * g);
  switch (activation) {
    case Activation::silu: return g / (1.0 + std::exp(-g));
    case Activation::gelu_tanh: return g / (1.0 + std::exp(-2.0 * t));
    case Activation::gelu: return 0.5 * g * (1.0 + std::erf(g * 0.7071067811865476));
    case Activation::tanh: return std::tanh(g);
    case Activation::relu: return std::max(g, 0.0);
  }
  return g;
}

// An activation of g, times `factor`, against double precision. silu and gelu_tanh are close relative to themselves, but
// exp magnifies the relative error of its argument by the argument, and near zero its clamp shows; the others are close
// relative to what erf or tanh are multiplied by.
inline void check_activation(Check& check, Activation activation, float g, float value, double factor) {
  const double exact = exact_activation(activation, static_cast<double>(g)) * factor;
  if (activation == Activation::silu || activation == Activation::gelu_tanh) {
    if (std::fabs(exact) > 1e-25) check.close("activation", value, exact, std::fabs(exact), 400);
    return;
  }
  const double scale = activation == Activation::tanh ? 1.0 : std::fabs(static_cast<double>(g));
  check.close("activation", value, exact, scale * std::fabs(factor), 0);
}

// Operands of which the activation is over the whole range where it is neither 0 nor a line.
inline void fill_wide(Random& random, Guarded<float>& x, Values values, float range) {
  random.fill(x, values);
  for (int64_t i = 0; values == Values::ordinary && i < x.size(); ++i) x[i] = x[i] * range;
}

inline void test_activate_case(Check& check, const KernelTable& table, int64_t width, Activation activation,
                               bool in_place, Values values) {
  Random random(4500 + static_cast<uint64_t>(width * 10 + in_place) + 2 * static_cast<uint64_t>(activation));
  RowRange range = draw_rows(random, width, width);
  if (in_place) range.y_stride = range.x_stride;
  if (!begin_rows(check, range, name_of(activation), values)) return;
  Guarded<float> x((range.rows - 1) * range.x_stride + width);
  fill_wide(random, x, values, random.chance(2) ? 3.0f : 50.0f);
  Guarded<float> apart((range.rows - 1) * range.y_stride + width);
  fill(apart, canary());
  Guarded<float>& y = in_place ? x : apart;
  std::vector<float> want = y.image();
  for (int64_t row = range.begin; row < range.end; ++row) {
    for (int64_t i = 0; i < width; ++i) {
      const float value = x[row * range.x_stride + i];
      float& place = want[static_cast<std::size_t>(row * range.y_stride + i)];
      place = oracle_activation(activation, value);
      check_activation(check, activation, value, place, 1.0);
    }
  }
  table.activate({x.data(), range.x_stride, range.begin, range.end, width, activation, y.data(), range.y_stride});
  check.same("y", y, want, range.y_stride);
}

inline void test_activate(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const Activation activation : kActivations) {
        test_activate_case(check, table, width, activation, false, values);
        test_activate_case(check, table, width, activation, true, values);
      }
    }
  }
}

inline constexpr Gate kGates[] = {Gate::silu, Gate::gelu_tanh, Gate::gelu, Gate::clamped_silu};

inline const char* name_of(Gate gate) {
  constexpr const char* kNames[] = {"gated silu", "gated gelu_tanh", "gated gelu", "gated clamped_silu"};
  return kNames[static_cast<int>(gate)];
}

// A gate of g and an up against double precision, as the activation that it has.
inline void check_gate(Check& check, Gate gate, float g, float up, float value) {
  if (gate != Gate::clamped_silu) {
    constexpr Activation kOf[] = {Activation::silu, Activation::gelu_tanh, Activation::gelu};
    return check_activation(check, kOf[static_cast<int>(gate)], g, value, static_cast<double>(up));
  }
  const double low = std::min(static_cast<double>(g), 7.0);
  const double factor = std::clamp(static_cast<double>(up), -7.0, 7.0) + 1.0;
  const double silu = low / (1.0 + std::exp(-1.702 * low));
  if (std::fabs(silu) > 1e-25) check.close("gate", value, silu * factor, std::fabs(silu) * 8.0, 400);
}

inline void test_gated(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const Gate gate : kGates) {
        Random random(4000 + static_cast<uint64_t>(width * 2) + static_cast<uint64_t>(gate));
        const RowRange range = draw_rows(random, width, 2 * width);
        if (!begin_rows(check, range, name_of(gate), values)) continue;
        Guarded<float> x((range.rows - 1) * range.x_stride + 2 * width);
        fill_wide(random, x, values, 50.0f);
        Guarded<float> y((range.rows - 1) * range.y_stride + width);
        fill(y, canary());
        std::vector<float> want = y.image();
        for (int64_t row = range.begin; row < range.end; ++row) {
          for (int64_t i = 0; i < width; ++i) {
            const float* source = x.data() + row * range.x_stride;
            float& place = want[static_cast<std::size_t>(row * range.y_stride + i)];
            place = oracle_gate(gate, source[i], source[width + i]);
            check_gate(check, gate, source[i], source[width + i], place);
          }
        }
        table.gated({x.data(), range.x_stride, range.begin, range.end, width, gate, y.data(), range.y_stride});
        check.same("y", y, want, range.y_stride);
      }
    }
  }
}

}  // namespace honed::contract
