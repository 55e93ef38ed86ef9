#include "executor/rotary.h"

#include <algorithm>
#include <cmath>

namespace honed {

Rotary::Rotary(const Needs& needs) : table_of_op_(needs.rotation_of_op()) {
  for (const Rotation& rotation : needs.rotations()) tables_.push_back({rotation, {}, {}});
}

void Rotary::prepare(const int32_t* positions, int64_t rows, Threads& threads) {
  constexpr int64_t kRowsOfTask = 32;
  for (Table& table : tables_) {
    const auto [frequencies, half, factor] = table.rotation;
    const auto size = static_cast<std::size_t>(rows * half);
    table.cos.resize(std::max(table.cos.size(), size));
    table.sin.resize(std::max(table.sin.size(), size));
    threads.for_each((rows + kRowsOfTask - 1) / kRowsOfTask,
                     [&, frequencies = frequencies, half = half, factor = factor](int64_t task, int) noexcept {
                       const int64_t end = std::min(rows, (task + 1) * kRowsOfTask);
                       for (int64_t row = task * kRowsOfTask; row < end; ++row) {
                         float* cos = table.cos.data() + row * half;
                         float* sin = table.sin.data() + row * half;
                         for (int64_t i = 0; i < half; ++i) {
                           const double angle = static_cast<float>(positions[row]) * frequencies[i];
                           cos[i] = static_cast<float>(std::cos(angle)) * factor;
                           sin[i] = static_cast<float>(std::sin(angle)) * factor;
                         }
                       }
                     });
  }
}

}  // namespace honed
