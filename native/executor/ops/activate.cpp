// activation(x) of every value; in place where input and output are one slot.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

constexpr std::array kActivationNames{"silu", "gelu_tanh", "gelu", "tanh", "relu"};

struct Activate final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;
  Activation activation;

  explicit Activate(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        activation(fields.choice<Activation>("activation", kActivationNames)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.slot("output", output, SlotKind::f32);
    check.same_rows(input, output);
    check.reads(input, width);
    check.in_place(input, output);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), 8 * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().activate({.x = x.floats(),
                               .x_stride = x.stride(),
                               .row_begin = begin,
                               .row_end = end,
                               .width = width,
                               .activation = activation,
                               .y = y.floats(),
                               .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> activate(Fields& fields) { return std::make_unique<Activate>(fields); }

}  // namespace honed::ops
