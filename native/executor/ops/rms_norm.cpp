// The RMS norm of rows, times a weight; in place where input and output are one slot.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct RmsNorm final : Op {
  SlotNumber input;
  SlotNumber output;
  WeightNumber weight;
  int64_t width;
  float eps;

  explicit RmsNorm(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        weight(fields.weight("weight")),
        width(fields.integer("width", 1, kMostWidth)),
        eps(fields.positive("eps")) {}

  void check(Check& check) const override {
    check.vector("weight", weight, width);
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
    step.for_rows(step.row_count(output), 2 * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().rms_norm({.x = x.floats(),
                               .x_stride = x.stride(),
                               .row_begin = begin,
                               .row_end = end,
                               .weight = step.vector(weight),
                               .width = width,
                               .eps = eps,
                               .y = y.floats(),
                               .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> rms_norm(Fields& fields) { return std::make_unique<RmsNorm>(fields); }

}  // namespace honed::ops
