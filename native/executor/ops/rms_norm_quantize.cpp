// rms_norm, then quantize, row by row: the normalized values are still in the first cache when they are quantized.
#include "executor/ops/quantized_output.h"
#include "executor/ops/table.h"
#include "plan/limits.h"

namespace honed::ops {
namespace {

struct RmsNormQuantize final : Op {
  SlotNumber input;
  SlotNumber output;
  WeightNumber weight;
  int64_t width;
  int64_t activation_group;
  float eps;

  explicit RmsNormQuantize(Fields& fields)
      : input(fields.slot("input")),
        output(fields.slot("output")),
        weight(fields.weight("weight")),
        width(fields.integer("width", 1, kMostWidth)),
        activation_group(fields.activation_group()),
        eps(fields.positive("eps")) {}

  void check(Check& check) const override {
    check.vector("weight", weight, width);
    check.slot("input", input, SlotKind::f32);
    check.reads(input, width);
    write_quantized(check, input, output, width, activation_group);
  }

  void prepare(Needs& needs) const override { needs.scratch(width); }

  void run(const Step& step) const override {
    const SlotRows x = step.rows(input);
    const SlotRows y = step.rows(output);
    step.for_rows(step.row_count(output), 4 * width, [&](int64_t begin, int64_t end, int thread) noexcept {
      for (int64_t row = begin; row < end; ++row) {
        float* normalized = step.scratch(thread);
        step.kernels().rms_norm({.x = x.floats() + row * x.stride(),
                                 .x_stride = 0,
                                 .row_begin = 0,
                                 .row_end = 1,
                                 .weight = step.vector(weight),
                                 .width = width,
                                 .eps = eps,
                                 .y = normalized,
                                 .y_stride = 0});
        step.kernels().quantize({.x = normalized,
                                 .x_stride = 0,
                                 .row_begin = 0,
                                 .row_end = 1,
                                 .width = width,
                                 .width_padded = y.layout->width_padded,
                                 .activation_group = activation_group,
                                 .y = y.data + row * y.row_bytes,
                                 .y_row_bytes = 0,
                                 .scales_offset = y.layout->scales_offset,
                                 .sums_offset = y.layout->sums_offset});
      }
    });
  }
};

}  // namespace

std::unique_ptr<const Op> rms_norm_quantize(Fields& fields) { return std::make_unique<RmsNormQuantize>(fields); }

}  // namespace honed::ops
