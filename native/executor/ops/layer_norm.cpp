// LayerNorm of rows, times a weight and with a bias where there is one; in place where input and output are one slot.
#include "executor/ops/table.h"
#include "executor/step.h"
#include "plan/check.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct LayerNorm final : Op {
  SlotNumber input;
  SlotNumber output;
  WeightNumber weight;
  std::optional<WeightNumber> bias;
  int64_t width;
  float eps;

  explicit LayerNorm(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        weight(fields.weight("weight")),
        bias(fields.weight_or_none("bias")),
        width(fields.integer("width", 1, kMostWidth)),
        eps(fields.positive("eps")) {}

  void check(Check& check) const override {
    check.vector("weight", weight, width);
    check.vector("bias", bias, width);
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
    step.for_rows(step.row_count(output), 4 * width, [&](int64_t begin, int64_t end, int) noexcept {
      step.kernels().layer_norm({.x = x.floats(),
                                 .x_stride = x.stride(),
                                 .row_begin = begin,
                                 .row_end = end,
                                 .weight = step.vector(weight),
                                 .bias = step.vector(bias),
                                 .width = width,
                                 .eps = eps,
                                 .y = y.floats(),
                                 .y_stride = y.stride()});
    });
  }
};

}  // namespace

std::unique_ptr<const Op> layer_norm(Fields& fields) { return std::make_unique<LayerNorm>(fields); }

}  // namespace honed::ops
