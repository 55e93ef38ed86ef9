// activation(gate) * up or the like, of gate and up side by side.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

constexpr std::array kGateNames{"silu", "gelu_tanh", "gelu", "clamped_silu"};

struct Gated final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;  // of the output
  Gate gate;

  explicit Gated(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        gate(fields.choice<Gate>("activation", kGateNames)) {}

  void check(Check& check) const override {
    check.slot("input", input, SlotKind::f32);
    check.slot("output", output, SlotKind::f32);
    check.same_rows(input, output);
    check.reads(input, 2 * width);
    check.apart(input, output);
    check.writes(output, 0, width);
  }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), 8 * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().gated({.x = x.floats(),
                            .x_stride = x.stride(),
                            .row_begin = begin,
                            .row_end = end,
                            .width = width,
                            .gate = gate,
                            .y = y.floats(),
                            .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> gated(Fields& fields) { return std::make_unique<Gated>(fields); }

}  // namespace honed::ops
