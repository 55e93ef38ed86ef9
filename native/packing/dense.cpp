#include "packing/dense.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "packing/float_bits.h"
#include "packing/weight_shell.h"

namespace honed {
namespace {

float load(const float* values, int64_t i) { return values[i]; }

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};
float load(const Bfloat16* values, int64_t i) { return float_from_bfloat16(values[i].bits); }
float load(const Float16* values, int64_t i) { return float_from_float16(values[i].bits); }

void store(float value, float* to) { *to = value; }
void store(float value, uint16_t* to) { *to = bfloat16_from_float(value); }

// One task is sixteen rows: their columns are neighbours, so the lines of a panel are filled while in the cache.
template <typename From, typename To>
void pack(const void* values, const Placement& placement, Weight& weight, Threads& threads) {
  const auto* from = static_cast<const From*>(values);
  const int64_t k = weight.columns;
  threads.for_each((placement.rows + 15) / 16, [&](int64_t task, int) noexcept {
    const int64_t begin = task * 16;
    const int64_t count = std::min<int64_t>(16, placement.rows - begin);
    To* to[16];
    for (int64_t r = 0; r < count; ++r) {
      const int64_t column = placement.column(begin + r);
      to[r] = reinterpret_cast<To*>(weight.buffer.data() + column / kPanelColumns * weight.panel_bytes) +
              column % kPanelColumns;
    }
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t r = 0; r < count; ++r) store(load(from, (begin + r) * k + i), to[r] + i * kPanelColumns);
    }
  });
}

template <typename From>
void pack_as(const void* values, const Placement& placement, Weight& weight, Threads& threads) {
  if (weight.kind == WeightKind::dense_f32) {
    pack<From, float>(values, placement, weight, threads);
  } else {
    pack<From, uint16_t>(values, placement, weight, threads);
  }
}

}  // namespace

Weight dense_layout(int64_t n, int64_t k, WeightKind kind) {
  const int64_t element = kind == WeightKind::dense_f32 ? 4 : 2;
  const Columns columns(n, k, kMostDepth);
  return weight_layout(kind, columns, k, k * kPanelColumns * element);
}

DenseBuilder::DenseBuilder(int64_t n, int64_t k, WeightKind kind, int threads)
    : columns_(n, k, kMostDepth), threads_(threads), weight_(with_panels(dense_layout(n, k, kind))) {}

void DenseBuilder::place(const void* values, FloatType type, const Placement& placement) {
  Weight& weight = unfinished(weight_);
  columns_.check(placement);
  switch (type) {
    case FloatType::f32: pack_as<float>(values, placement, weight, threads_); break;
    case FloatType::bf16: pack_as<Bfloat16>(values, placement, weight, threads_); break;
    case FloatType::f16: pack_as<Float16>(values, placement, weight, threads_); break;
  }
  columns_.take(placement);
}

std::shared_ptr<const Weight> DenseBuilder::finish() {
  unfinished(weight_);
  return std::exchange(weight_, nullptr);
}

}  // namespace honed
