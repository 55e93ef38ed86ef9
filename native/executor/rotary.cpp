#include "executor/rotary.h"

#include <algorithm>
#include <cmath>

namespace honed {

Rotary::Rotary(const Plan& plan) : table_of_op_(plan.ops.size(), 0) {
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    const Op& op = plan.ops[i];
    if (op.code != OpCode::rope_kv) continue;
    const Weight& weight = *plan.weights[static_cast<std::size_t>(op.weights[0])];
    const auto* inv_freq = reinterpret_cast<const float*>(weight.buffer.data());
    const int64_t half = op.sizes[3] / 2;
    const float factor = op.scalars[1];
    const auto same = [&](const Table& table) {
      return table.half == half && table.factor == factor && std::equal(inv_freq, inv_freq + half, table.inv_freq);
    };
    const auto found = std::find_if(tables_.begin(), tables_.end(), same);
    table_of_op_[i] = static_cast<std::size_t>(found - tables_.begin());
    if (found == tables_.end()) tables_.push_back({inv_freq, half, factor, {}, {}});
  }
}

void Rotary::prepare(const int32_t* positions, int64_t rows, Threads& threads) {
  constexpr int64_t kRowsOfTask = 32;
  for (Table& table : tables_) {
    const auto size = static_cast<std::size_t>(rows * table.half);
    table.cos.resize(std::max(table.cos.size(), size));
    table.sin.resize(std::max(table.sin.size(), size));
    threads.for_each((rows + kRowsOfTask - 1) / kRowsOfTask, [&](int64_t task, int) noexcept {
      const int64_t end = std::min(rows, (task + 1) * kRowsOfTask);
      for (int64_t row = task * kRowsOfTask; row < end; ++row) {
        float* cos = table.cos.data() + row * table.half;
        float* sin = table.sin.data() + row * table.half;
        for (int64_t i = 0; i < table.half; ++i) {
          const double angle = static_cast<float>(positions[row]) * table.inv_freq[i];
          cos[i] = static_cast<float>(std::cos(angle)) * table.factor;
          sin[i] = static_cast<float>(std::sin(angle)) * table.factor;
        }
      }
    });
  }
}

}  // namespace honed
