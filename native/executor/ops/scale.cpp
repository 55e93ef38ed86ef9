// Every value times a factor; in place where input and output are one slot.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct Scale final : Op {
  SlotNumber input;
  SlotNumber output;
  int64_t width;
  float factor;

  explicit Scale(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        width(fields.integer("width", 1, kMostWidth)),
        factor(fields.number("factor")) {}

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
    step.for_rows(step.row_count(output), width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().scale({.x = x.floats(),
                            .x_stride = x.stride(),
                            .row_begin = begin,
                            .row_end = end,
                            .width = width,
                            .factor = factor,
                            .y = y.floats(),
                            .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> scale(Fields& fields) { return std::make_unique<Scale>(fields); }

}  // namespace honed::ops
