// The kinds of weights and what is to be known of each, from their one list.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "cpu/kernel_table.h"

namespace honed {

enum class WeightKind : int32_t {
#define HONED_PLAIN(name) name,
#define HONED_MATRIX(name, encoding, slot, input, codes) name,
#include "plan/weight_kinds.def"
};

enum class MatrixInput : int32_t { floats = 0, quantized = 1 };

// Of a matrix; of other kinds only the name.
struct WeightTraits {
  const char* name;
  const char* encoding;                              // null: no matrix
  void (*KernelTable::*matmul)(const MatmulArgs&);
  MatrixInput input;
  std::optional<PanelCodes> codes;

  bool is_matrix() const { return encoding != nullptr; }
  bool quantizes() const { return is_matrix() && input == MatrixInput::quantized; }
};

inline constexpr std::array kWeightTraits{
#define HONED_PLAIN(name) WeightTraits{#name, nullptr, nullptr, MatrixInput::floats, std::nullopt},
#define HONED_MATRIX(name, encoding, slot, input, codes) \
  WeightTraits{#name, #encoding, &KernelTable::slot, MatrixInput::input, codes},
#include "plan/weight_kinds.def"
};

inline const WeightTraits& traits(WeightKind kind) { return kWeightTraits[static_cast<std::size_t>(kind)]; }

// The names of those kinds that have it, as a sentence lists them: a, b or c.
template <typename Has>
std::string names_of_kinds(const Has& has) {
  std::string list;
  std::string last;
  for (const WeightTraits& kind : kWeightTraits) {
    if (!has(kind)) continue;
    if (!last.empty()) list += (list.empty() ? "" : ", ") + last;
    last = kind.name;
  }
  return list.empty() ? last : list + " or " + last;
}

}  // namespace honed
